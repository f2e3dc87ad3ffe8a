"""How the C library is compiled: the flags of every file, and those of each instruction set."""

import sys

FLAGS = ["-std=gnu11", "-O2", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += ["-fvisibility=hidden", "-Wall", "-Wextra"]
# The wheel's size counts: -O3 makes the kernels, which say themselves what is to be unrolled, half as large
# again and no faster (measured by every row of bench/ and tests/cases.py). What plain loops gain by -O3 is
# -O2 with vectors wherever they pay, but for a second, shorter copy of each loop.
FLAGS += ["-fvect-cost-model=dynamic", "--param=vect-epilogues-nomask=0", "-ffunction-sections"]
FLAGS += ["-fno-align-functions", "-fno-align-jumps", "-fno-align-labels"]
# Kernels compute with the bits of real numbers, where integers may wrap around.
FLAGS += ["-fwrapv"]
# No exception passes through C; only Windows wants to know how to go back all the same.
if sys.platform != "win32":
    FLAGS += ["-fno-asynchronous-unwind-tables"]

# Cython's text is long: -O2 without what makes it longer is as fast, an eighth smaller, where -Os would make
# calls from Python a tenth slower.
BINDING = ["-O2", "-ffunction-sections", "-fno-asynchronous-unwind-tables", "-fno-tree-vectorize"]
BINDING += ["-fno-align-functions", "-fno-align-jumps", "-fno-align-loops", "-fno-align-labels"]
BINDING += ["-fno-inline-functions", "-fno-partial-inlining", "-fno-ipa-cp", "-fno-tree-pre"]
BINDING += ["-fno-reorder-blocks", "--param=max-inline-insns-single=20"]

AVX2 = ["-mavx2", "-mfma", "-mf16c", "-mbmi2"]
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma", "-mf16c", "-mbmi2"]
AVX512 += ["-mprefer-vector-width=512"]
# Few x86-64 CPUs of today are without AVX2: their kernels are to be small.
X86 = {"portable": ["-Os"], "avx2": AVX2, "avx512": AVX512}
ARM = {"neon": []}

# By the machine's name; another machine has the portable kernels alone.
ISAS = {"x86_64": X86, "amd64": X86, "aarch64": ARM, "arm64": ARM}
