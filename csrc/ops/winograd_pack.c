/* winograd_pack.c: transformed weights, made once for many convolutions of a network that is not in training. */
#include "winograd.h"

/* Planes of a panel, one after another. */
static int64_t panel_elements(const fnn_winograd *g) { return g->grid.planes * g->weights_step; }

int fnn_winograd_packs(const fnn_conv *conv, int64_t shape[FNN_MAX_DIMS]) {
  fnn_winograd g;
  int m = fnn_winograd_tile(conv);
  if (!m) return 0;
  fnn_winograd_read(conv, m, &g);
  if (fnn_winograd_is_deep(&g)) return 0;
  shape[0] = g.panels;
  shape[1] = panel_elements(&g);
  return 2;
}

/* The weights for the tiles that `packed` has the shape of, 0 if it has that of none. */
static int pack_read(const fnn_conv *weights, const fnn_array *packed, fnn_winograd *g) {
  for (int m = 2; m <= 4; m += 2) {
    fnn_winograd_read(weights, m, g);
    if (packed->shape[0] == g->panels && packed->shape[1] == panel_elements(g)) return m;
  }
  return 0;
}

int fnn_winograd_pack_plan(const fnn_conv *weights, const fnn_array *packed, fnn_plan *plan) {
  fnn_winograd g;
  if (weights->groups > 1 || weights->kernel[0] != 3 || weights->kernel[1] != 3 ||
      !pack_read(weights, packed, &g))
    return 0;
  plan->bytes = fnn_bytes(&weights->w) + fnn_bytes(packed);
  plan->tasks = at_least(1, at_most(fnn_size(packed) >> 14, g.panels));
  return 1;
}

void fnn_winograd_pack_run(const fnn_conv *weights, const fnn_array *packed, fnn_team *team) {
  fnn_winograd g;
  if (pack_read(weights, packed, &g)) fnn_winograd_pack(&g, team, packed->data);
}
