"""How the C library is compiled: the flags of every file, and those of each instruction set."""

FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += ["-fvisibility=hidden", "-Wall", "-Wextra"]
# Kernels compute with the bits of real numbers, where integers may wrap around.
FLAGS += ["-fwrapv"]

AVX2 = ["-mavx2", "-mfma", "-mf16c", "-mbmi2"]
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma", "-mf16c", "-mbmi2"]
AVX512 += ["-mprefer-vector-width=512"]
# Few x86-64 CPUs of today are without AVX2: their kernels are a quarter smaller than with -O3.
X86 = {"portable": ["-O2"], "avx2": AVX2, "avx512": AVX512}
ARM = {"neon": []}

# By the machine's name; another machine has the portable kernels alone.
ISAS = {"x86_64": X86, "amd64": X86, "aarch64": ARM, "arm64": ARM}
