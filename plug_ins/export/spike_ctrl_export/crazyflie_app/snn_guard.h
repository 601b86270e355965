/* Decides who flies: the stock controller or the policy. Pure: time and measurements come in, nothing else is read.

   OFF      snn.enable is 0: the stock controller flies
   SHADOW   the policy answers and nobody listens; it takes over after SNN_SHADOW_STEPS good answers in a row, in the air
   COMMAND  the policy flies
   FAULT    something went wrong: the stock controller flies, until snn.enable is set to 0 and to 1 again */
#ifndef SNN_GUARD_H
#define SNN_GUARD_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { SNN_OFF = 0, SNN_SHADOW = 1, SNN_COMMAND = 2, SNN_FAULT = 3 } snn_phase;

typedef enum {
    SNN_NO_FAULT = 0,
    SNN_DEADLINE = 1,     /* the last answer is older than SNN_DEADLINE_MS */
    SNN_NOT_FINITE = 2,   /* a state or an answer that is no number */
    SNN_TILT = 3,         /* the body's z axis is lower than SNN_LEAST_COSINE */
    SNN_RATE = 4,         /* a body rate above SNN_MOST_RATE or SNN_MOST_YAW_RATE */
    SNN_DISTANCE = 5,     /* farther from the set-point than SNN_MOST_DISTANCE */
    SNN_DISAGREEMENT = 6  /* mean force differs from the stock controller's by SNN_MOST_DISAGREEMENT, over half a second */
} snn_fault;

typedef struct {
    bool enabled;       /* snn.enable */
    bool served;        /* a set-point that the policy can follow */
    bool fresh;         /* an answer came with this tick */
    bool finite;        /* state and last answer are numbers */
    uint32_t age_ms;    /* of the state that was last answered */
    float cosine;       /* of the tilt */
    float rate;         /* rad/s, the larger of roll and pitch */
    float yaw_rate;     /* rad/s, either way */
    float distance;     /* m, to the set-point */
    float height;       /* m */
    float disagreement; /* mean force, 1 = THRUST_MAX, policy minus stock controller */
} snn_view;

typedef struct {
    snn_phase phase;
    snn_fault fault;
    uint16_t good;        /* good answers in a row */
    float apart;          /* disagreement, low-passed */
} snn_guard;

/* One tick of 1 ms. Gives true while the policy's forces are to be applied. */
bool snn_guard_step(snn_guard *guard, const snn_view *seen);

#endif
