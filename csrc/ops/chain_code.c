/* chain_code.c: from a chain's words to steps that can be run; nothing that does not fit gets through. */
#include <stdatomic.h>
#include <string.h>

#include "chain.h"
#include "map.h"

/* What an op asks of its operands, worked out from its row at its first use: bit 0 that it is one that a
 * chain can have, bits 1-2 the number of inputs, 3-5 which of them are bools, 6 whether the result is, from
 * bit 8 the number of scalars. */
static unsigned signature(int op) {
  static atomic_uint known[FNN_OPS];
  unsigned s = atomic_load_explicit(&known[op], memory_order_relaxed);
  if (s) return s;
  const fnn_op_info *info = fnn_op(op);
  unsigned inputs = 0, scalars = 0, fits = !strcmp(info->family, "map");
  int outputs = 0;
  for (const char *p = info->arrays; *p;) {
    const char *word = p;
    char kind = 'T';
    for (; *p && *p != ' '; p++)
      if (*p == ':') kind = p[1];
    if (*word == '-')
      outputs = 1;
    else if (outputs)
      s |= (unsigned)(kind == 'b') << 6;
    else
      s |= (unsigned)(kind == 'b') << (3 + inputs++);
    while (*p == ' ') p++;
  }
  for (const char *p = info->scalars; *p; p++) scalars += *p == ':';
  if (op == FNN_OP_dropout) fits = 1;
  s |= fits | inputs << 1 | scalars << 8 | 1u << 31;
  atomic_store_explicit(&known[op], s, memory_order_relaxed);
  return s;
}

static fnn_map_kernel kernel_of(int op, unsigned s, int dtype, fnn_chain_kind from) {
  unsigned bools = s >> 3 & 7, all = (1u << (s >> 1 & 3)) - 1;
  if (op == FNN_OP_copy) return fnn_convert_kernel(from == CHAIN_BOOL ? FNN_BOOL : dtype, dtype);
  return bools == all ? fnn_map_integer(FNN_BOOL, op) : fnn_kernels_of(dtype)->map[op];
}

/* --- arrays --- */

static fnn_chain_kind kind_of(const fnn_array *a, int dtype) {
  if (a->dtype == dtype) return CHAIN_REAL;
  if (a->dtype == FNN_BOOL) return CHAIN_BOOL;
  int key = a->dtype == FNN_I64 && a->ndim == 1 && a->shape[0] == 2 && a->stride[0] == 1;
  return key ? CHAIN_KEY : CHAIN_NOTHING;
}

/* The kinds of the places that are arrays. */
static int read_arrays(fnn_chain *chain, int place, const fnn_array *arrays, int n) {
  for (int k = 0; k < n; k++) {
    if (!fnn_present(&arrays[k])) continue;
    chain->kinds[place + k] = kind_of(&arrays[k], chain->dtype);
    if (chain->kinds[place + k] == CHAIN_NOTHING) return 0;
    chain->arrays[place + k] =
        (fnn_chain_array){.data = arrays[k].data, .size = fnn_itemsize(arrays[k].dtype)};
  }
  return 1;
}

static int find_dtype(const fnn_array *arrays, int n) {
  for (int k = 0; k < n; k++)
    if (fnn_present(&arrays[k]) && fnn_is_real(arrays[k].dtype)) return arrays[k].dtype;
  return -1;
}

/* --- code --- */

/* The next instruction, of which `left` words are there: its length, or 0 if it does not fit what is known
 * of the places. `ready` tells of each place whether it holds a value. */
static int64_t read_step(fnn_chain *chain, const int64_t *word, int64_t left, uint8_t *ready) {
  int op = (int)(*word & 0xffff), to = (int)(*word >> 16 & 0xff);
  if (op >= FNN_OPS || *word >> 48) return 0;
  unsigned s = signature(op), n_in = s >> 1 & 3, scalars = s >> 8 & 15;
  if (!(s & 1) || left < 1 + (int64_t)scalars) return 0;
  fnn_chain_step *step = &chain->steps[chain->n_steps];
  *step = (fnn_chain_step){
      .scalars = (const fnn_scalar *)(word + 1), .n_in = (uint8_t)n_in, .to = (uint8_t)to};
  for (unsigned k = 0; k < n_in; k++) {
    int from = (int)(*word >> (24 + 8 * k) & 0xff);
    if (from >= FNN_CHAIN_PLACES || !ready[from]) return 0;
    fnn_chain_kind wanted = s >> (3 + k) & 1 ? CHAIN_BOOL : CHAIN_REAL;
    if (op == FNN_OP_dropout && k == 1) wanted = CHAIN_KEY;
    int either = op == FNN_OP_copy && chain->kinds[from] == CHAIN_BOOL;
    if (chain->kinds[from] != wanted && !either) return 0;
    if (from >= FNN_CHAIN_OUTPUT && !chain->written[from - FNN_CHAIN_OUTPUT])
      chain->read[from - FNN_CHAIN_OUTPUT] = 1;
    step->from[k] = (uint8_t)from;
  }
  if (op != FNN_OP_dropout) {
    step->kernel = kernel_of(op, s, chain->dtype, chain->kinds[step->from[0]]);
    if (!step->kernel) return 0;
  }
  fnn_chain_kind made = s >> 6 & 1 ? CHAIN_BOOL : CHAIN_REAL;
  if (to >= FNN_CHAIN_OUTPUT) {
    if (to >= FNN_CHAIN_PLACES || chain->kinds[to] != made) return 0;
    chain->written[to - FNN_CHAIN_OUTPUT] = 1;
  } else if (to < FNN_CHAIN_REGISTER) {
    return 0;
  } else {
    chain->registers = 1;
  }
  chain->kinds[to] = made;
  ready[to] = 1;
  chain->flops += op == FNN_OP_dropout ? 20 : fnn_map_cost(op);
  chain->n_steps++;
  return 1 + scalars;
}

static void find_used(fnn_chain *chain) {
  uint8_t touched[FNN_CHAIN_PLACES] = {0};
  for (int i = 0; i < chain->n_steps; i++) {
    const fnn_chain_step *step = &chain->steps[i];
    touched[step->to] = 1;
    for (int k = 0; k < step->n_in; k++) touched[step->from[k]] = 1;
  }
  for (int k = 0; k < FNN_CHAIN_PLACES; k++)
    if (touched[k] && (k < FNN_CHAIN_INPUTS || k >= FNN_CHAIN_OUTPUT) &&
        chain->kinds[k] != CHAIN_KEY)
      chain->used[chain->n_used++] = (uint8_t)k;
}

/* Outputs whose place an input that is read later has, too. */
static void find_late(fnn_chain *chain) {
  for (int i = 0; i < chain->n_steps; i++) {
    int to = chain->steps[i].to;
    if (to < FNN_CHAIN_OUTPUT) continue;
    for (int j = i + 1; j < chain->n_steps; j++)
      for (int k = 0; k < chain->steps[j].n_in; k++) {
        int from = chain->steps[j].from[k];
        if (from < FNN_CHAIN_INPUTS && chain->arrays[from].data == chain->arrays[to].data)
          chain->late[to - FNN_CHAIN_OUTPUT] = 1;
      }
  }
}

fnn_status fnn_chain_read(const fnn_array *code, const fnn_array *inputs, int n_in,
                          const fnn_array *outputs, int n_out, int made, fnn_chain *chain,
                          fnn_failure *why) {
  memset(chain, 0, offsetof(fnn_chain, steps));
  chain->flops = 0;
  chain->dtype = find_dtype(outputs, n_out);
  if (chain->dtype < 0) chain->dtype = find_dtype(inputs, n_in);
  if (chain->dtype < 0)
    return fnn_fail(why, FNN_ERR_DTYPE, "chain: some array must be float32 or float64");
  if (code->dtype != FNN_I64 || code->ndim != 1 || !fnn_contiguous(code))
    return fnn_fail(why, FNN_ERR_DTYPE, "chain: the code must be contiguous int64 words");
  if (!read_arrays(chain, 0, inputs, n_in) || !read_arrays(chain, FNN_CHAIN_OUTPUT, outputs, n_out))
    return fnn_fail(why, FNN_ERR_DTYPE, "chain: arrays must be of one real dtype, bools or keys");
  chain->random = &fnn_kernels_of(chain->dtype)->random;
  uint8_t ready[FNN_CHAIN_PLACES] = {0};
  for (int k = 0; k < n_in; k++) ready[k] = chain->kinds[k] != CHAIN_NOTHING;
  for (int k = 0; k < made; k++) ready[FNN_CHAIN_OUTPUT + k] = 1;
  const int64_t *word = code->data;
  for (int64_t at = 0, length; at < code->shape[0]; at += length) {
    length = chain->n_steps < FNN_CHAIN_STEPS
                 ? read_step(chain, word + at, code->shape[0] - at, ready)
                 : 0;
    if (!length) {
      why->seen = at;
      return fnn_fail(why, FNN_ERR_VALUE, "chain: word {seen} of the code is not an instruction");
    }
  }
  find_used(chain);
  find_late(chain);
  return FNN_OK;
}
