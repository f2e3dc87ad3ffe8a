/* cpu.c: which kernels this CPU can run, and the choice among those compiled in.
 *
 * The build defines FNN_ISA_<NAME> for each isa/ file that it compiled. A CPU has an instruction set when
 * cpuid says so and the operating system saves its registers (xgetbv); the flags asked for are exactly
 * those that setup.py gives the compiler for that file. */
#include <stdio.h>
#include <string.h>

#include "../ops/op.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(__x86_64__)
static int bit(unsigned word, int n) { return (int)(word >> n & 1); }

/* The register sets that the operating system saves: XCR0, 0 when there is no xgetbv. */
static unsigned saved_registers(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return 0;
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return a;
}

static inline int has_avx2(void) {
  unsigned a, b, c, d, b7;
  if ((saved_registers() & 0x6) != 0x6) return 0; /* xmm, ymm */
  if (!__get_cpuid_count(7, 0, &a, &b7, &c, &d)) return 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  return bit(c, 28) && bit(c, 12) && bit(c, 29) /* AVX, FMA, F16C */
         && bit(b7, 5) && bit(b7, 8);           /* AVX2, BMI2 */
}

static inline int has_avx512(void) {
  unsigned a, b, c, d;
  if (!has_avx2() || (saved_registers() & 0xe6) != 0xe6) return 0; /* and k, zmm, upper zmm */
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  return bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31); /* F, DQ, BW, VL */
}
#endif

static inline int has_always(void) { return 1; }

/* Best first. */
static const struct {
  const char *name;
  const fnn_kernels *kernels;
  int (*supported)(void);
} isas[] = {
#if defined(FNN_ISA_AVX512)
    {"avx512", fnn_kernels_avx512, has_avx512},
#endif
#if defined(FNN_ISA_AVX2)
    {"avx2", fnn_kernels_avx2, has_avx2},
#endif
#if defined(FNN_ISA_NEON)
    {"neon", fnn_kernels_neon, has_always}, /* every 64-bit Arm has it */
#endif
#if defined(FNN_ISA_PORTABLE)
    {"portable", fnn_kernels_portable, has_always},
#endif
};

#define ISAS ((int)(sizeof isas / sizeof isas[0]))

static int chosen = -1;

int fnn_isa_select(const char *name) {
  for (int i = 0; i < ISAS; i++) {
    if (name ? strcmp(name, isas[i].name) != 0 : !isas[i].supported()) continue;
    if (!isas[i].supported()) return -2;
    chosen = i;
    return 0;
  }
  return -1;
}

static int chosen_isa(void) {
  if (chosen < 0) fnn_isa_select(NULL);
  return chosen;
}

const char *fnn_isa_name(void) { return isas[chosen_isa()].name; }

int fnn_isa_compiled(int i, const char **name, int *supported) {
  if (i < 0 || i >= ISAS) return 0;
  *name = isas[i].name;
  *supported = isas[i].supported();
  return 1;
}

const fnn_kernels *fnn_kernels_of(int dtype) {
  return &isas[chosen_isa()].kernels[dtype == FNN_F64];
}

const char *fnn_cpu_name(void) {
  static char name[64];
  if (name[0]) return name;
#if defined(__x86_64__)
  unsigned word[12] = {0}, top = __get_cpuid_max(0x80000000u, NULL);
  char brand[49] = {0};
  for (unsigned i = 0; i < 3 && top >= 0x80000004u; i++)
    __get_cpuid(0x80000002u + i, &word[4 * i], &word[4 * i + 1], &word[4 * i + 2],
                &word[4 * i + 3]);
  memcpy(brand, word, 48);
  snprintf(name, sizeof name, "%s", brand + strspn(brand, " "));
  for (size_t n = strlen(name); n && name[n - 1] == ' '; n--) name[n - 1] = 0;
#elif defined(__APPLE__)
  size_t size = sizeof name;
  if (sysctlbyname("machdep.cpu.brand_string", name, &size, NULL, 0) != 0) name[0] = 0;
#elif defined(__linux__)
  char line[256];
  FILE *file = fopen("/proc/cpuinfo", "r");
  while (file && !name[0] && fgets(line, sizeof line, file)) {
    const char *value = strchr(line, ':');
    if (!value || (strncmp(line, "model name", 10) && strncmp(line, "CPU part", 8))) continue;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
  }
  if (file) fclose(file);
#endif
  if (!name[0]) snprintf(name, sizeof name, "unknown");
  return name;
}

const char *fnn_compiler(void) {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}
