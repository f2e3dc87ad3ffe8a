/* optimizer.h: optimizer steps over flat memory.
 *
 * Whatever may change during training is in an array h of FNN_HYPER doubles, so that a recorded
 * step reads the values of the moment. optimizer_tick counts the step and derives what the rules
 * need from it. */
#ifndef FNN_KERNELS_OPTIMIZER_H
#define FNN_KERNELS_OPTIMIZER_H

#include <stdint.h>

enum {
  FNN_H_LR,
  FNN_H_DECAY, /* weight decay */
  FNN_H_LIMIT, /* gradients are clipped to +-limit; infinity for none */
  FNN_H_SIGN,  /* 1, or -1 to maximize */
  FNN_H_STEP,  /* steps taken, this one included */
  FNN_H_0,     /* what the rule names: below */
  FNN_H_1,
  FNN_H_2,
  FNN_H_3,
  FNN_H_4,
  FNN_H_A, /* derived by optimizer_tick */
  FNN_H_B,
  FNN_H_C,
  FNN_H_D,
  FNN_HYPER = 16
};

/* The rules, their hyperparameters FNN_H_0 ..., and what is derived from them (t is the step):
 *   sgd      momentum, dampening, nesterov     A: 1 - dampening, but 1 on the first step
 *   adam     beta1, beta2, eps, decoupled      A: lr / (1 - beta1^t)  B: 1 / sqrt(1 - beta2^t)
 *   nadam    beta1, beta2, eps, decoupled,     A, B: the factors of g and m  C: as B of adam
 *            mu_decay                          D: the product of all mu, 1 at first
 *   rmsprop  alpha, eps, momentum
 *   adagrad  lr_decay, eps                     A: lr / (1 + (t - 1) lr_decay)
 *   lion     beta1, beta2
 *   ema      decay, warm-up                    A: decay, or less during the warm-up */
enum {
  FNN_RULE_SGD,
  FNN_RULE_ADAM,
  FNN_RULE_NADAM,
  FNN_RULE_RMSPROP,
  FNN_RULE_ADAGRAD,
  FNN_RULE_LION,
  FNN_RULE_EMA,
  FNN_RULES
};

/* One step of n weights w with gradients g, in place; the state arrays are the rule's, those that
 * may be absent NULL. The gradient used is g times scale, clipped to h's limit. */
typedef void (*fnn_optimizer_rule)(int64_t n, void *w, const void *g, void *const *state,
                                   double scale, const double *h);

typedef struct {
  fnn_optimizer_rule rule[FNN_RULES];
  double (*dot)(int64_t n, const void *a, const void *b);
  /* g = clip(scale g, -limit, limit) */
  void (*scale_clip)(int64_t n, void *g, double scale, double limit);
} fnn_optimizer_kernels;

#define FNN_OPTIMIZER_KERNELS(real)                                                    \
  {.rule = {optimizer_sgd_##real, optimizer_adam_##real, optimizer_nadam_##real,       \
            optimizer_rmsprop_##real, optimizer_adagrad_##real, optimizer_lion_##real, \
            optimizer_ema_##real},                                                     \
   .dot = optimizer_dot_##real,                                                        \
   .scale_clip = optimizer_scale_clip_##real}

#endif
