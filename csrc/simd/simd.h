/* simd.h: the vocabulary kernels are written in.
 *
 * An isa/ file sets FNN_VECTOR_BYTES (16, 32 or 64) and includes the kernels; each kernel file is included
 * twice, with REAL_BITS 32 and 64. Within it
 *
 *   REAL  float or double        INT   the integer of the same size
 *   V     a vector of REAL       VI    a vector of INT             M   a mask, one truth value a lane
 *   LANES how many               FNN_R(name)  name_f32 or name_f64
 *
 * and the v_ functions of vector.inc. + - * / and unary - work on V, and + - & | ^ ~ << >> on VI, as they
 * are: GCC and Clang vector types. A product followed by a sum becomes one fused instruction where the
 * ISA has it (-ffp-contract=fast). */
#ifndef FNN_SIMD_H
#define FNN_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef FNN_VECTOR_BYTES
#error "an isa/ file sets FNN_VECTOR_BYTES before it includes this"
#endif

/* What the compile flags of this file allow; kernels ask these, never the ISA's name. */
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__AVX512BW__)
#define FNN_MASK_REGISTERS 1
#define FNN_VECTOR_REGISTERS 32
#elif defined(__aarch64__)
#define FNN_VECTOR_REGISTERS 32
#else
#define FNN_VECTOR_REGISTERS 16
#endif
#ifndef FNN_MASK_REGISTERS
#define FNN_MASK_REGISTERS 0
#endif
#if defined(__FMA__) || defined(__aarch64__)
#define FNN_HAS_FMA 1
#else
#define FNN_HAS_FMA 0
#endif

#if defined(__x86_64__)
#define FNN_IN_REGISTER(v) "+x"(v)
#elif defined(__aarch64__)
#define FNN_IN_REGISTER(v) "+w"(v)
#else
#define FNN_IN_REGISTER(v) "+m"(v)
#endif

/* Before a loop of a constant count: whose array of vectors is to live in registers; whose body is so long that
 * it is to be laid down once. */
#if defined(__clang__)
#define FNN_UNROLL _Pragma("clang loop unroll(full)")
#define FNN_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define FNN_UNROLL _Pragma("GCC unroll 32")
#define FNN_ROLLED _Pragma("GCC unroll 1")
#endif

/* Before a loop over elements that are written where they are read, or not at all. */
#if defined(__clang__)
#define FNN_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define FNN_INDEPENDENT _Pragma("GCC ivdep")
#endif

#define FNN_INLINE static inline __attribute__((always_inline, unused))
#define FNN_PASTE_(a, b) a##_##b
#define FNN_PASTE(a, b) FNN_PASTE_(a, b)
#define FNN_R(name) FNN_PASTE(name, REAL_NAME)

/* Unsigned 64-bit lanes, whatever the real type, and the full product of their low halves. */
typedef uint64_t fnn_u64v __attribute__((vector_size(FNN_VECTOR_BYTES)));
FNN_INLINE fnn_u64v vu_mul32(fnn_u64v a, fnn_u64v b) {
#if FNN_VECTOR_BYTES == 64 && FNN_MASK_REGISTERS
  return (fnn_u64v)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif FNN_VECTOR_BYTES == 32 && defined(__AVX2__)
  return (fnn_u64v)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif FNN_VECTOR_BYTES == 16 && defined(__SSE2__)
  return (fnn_u64v)_mm_mul_epu32((__m128i)a, (__m128i)b);
#elif FNN_VECTOR_BYTES == 16 && defined(__aarch64__)
  return (fnn_u64v)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

#define V FNN_R(V)
#define VI FNN_R(VI)
#define M FNN_R(M)
#define v_load FNN_R(v_load)
#define v_load_n FNN_R(v_load_n)
#define v_store FNN_R(v_store)
#define v_store_n FNN_R(v_store_n)
#define v_set1 FNN_R(v_set1)
#define v_zero FNN_R(v_zero)
#define vi_set1 FNN_R(vi_set1)
#define v_fma FNN_R(v_fma)
#define v_min FNN_R(v_min)
#define v_max FNN_R(v_max)
#define v_abs FNN_R(v_abs)
#define v_sqrt FNN_R(v_sqrt)
#define v_round FNN_R(v_round)
#define v_bits FNN_R(v_bits)
#define v_real FNN_R(v_real)
#define v_to_int FNN_R(v_to_int)
#define v_from_int FNN_R(v_from_int)
#define v_shift_right FNN_R(v_shift_right)
#define v_lt FNN_R(v_lt)
#define v_le FNN_R(v_le)
#define v_eq FNN_R(v_eq)
#define v_is_nan FNN_R(v_is_nan)
#define vi_eq FNN_R(vi_eq)
#define vi_load_small FNN_R(vi_load_small)
#define vi_load_small_n FNN_R(vi_load_small_n)
#define vi_store_small FNN_R(vi_store_small)
#define vi_store_small_n FNN_R(vi_store_small_n)
#define m_and FNN_R(m_and)
#define m_or FNN_R(m_or)
#define m_not FNN_R(m_not)
#define m_any FNN_R(m_any)
#define m_first FNN_R(m_first)
#define v_select FNN_R(v_select)
#define v_permute FNN_R(v_permute)
#define v_sum FNN_R(v_sum)
#define v_hmax FNN_R(v_hmax)
#define v_hmin FNN_R(v_hmin)
#define v_copysign FNN_R(v_copysign)
#define v_floor FNN_R(v_floor)
#define v_scale FNN_R(v_scale)
#define v_product_error FNN_R(v_product_error)
#define m_load FNN_R(m_load)
#define m_load_n FNN_R(m_load_n)
#define m_store FNN_R(m_store)
#define m_store_n FNN_R(m_store_n)
#define v_transpose FNN_R(v_transpose)
#define v_even FNN_R(v_even)

/* kernels/math.inc */
#define v_exp FNN_R(v_exp)
#define v_expm1 FNN_R(v_expm1)
#define v_log FNN_R(v_log)
#define v_log1p FNN_R(v_log1p)
#define v_tanh FNN_R(v_tanh)
#define v_sigmoid FNN_R(v_sigmoid)
#define v_erf FNN_R(v_erf)
#define v_gelu FNN_R(v_gelu)
#define v_gelu_slope FNN_R(v_gelu_slope)
#define v_gelu_tanh FNN_R(v_gelu_tanh)
#define v_gelu_tanh_slope FNN_R(v_gelu_tanh_slope)
#define v_silu FNN_R(v_silu)
#define v_silu_slope FNN_R(v_silu_slope)
#define v_softplus FNN_R(v_softplus)
#define v_mish FNN_R(v_mish)
#define v_mish_slope FNN_R(v_mish_slope)
#define v_pow FNN_R(v_pow)
#define v_sin FNN_R(v_sin)
#define v_cos FNN_R(v_cos)
#define v_square_root FNN_R(v_square_root)
#define v_rsqrt FNN_R(v_rsqrt)

#endif
