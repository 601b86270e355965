#include "snn_guard.h"

#include "snn_config.h"

#define APART_SHARE 0.002f /* per tick of 1 ms: a time constant of half a second */

static snn_fault found(const snn_guard *guard, const snn_view *seen)
{
    if (!seen->finite)
        return SNN_NOT_FINITE;
    if (seen->age_ms > SNN_DEADLINE_MS)
        return SNN_DEADLINE;
    if (!(seen->cosine >= SNN_LEAST_COSINE))
        return SNN_TILT;
    if (!(seen->rate <= SNN_MOST_RATE && seen->yaw_rate <= SNN_MOST_YAW_RATE))
        return SNN_RATE;
    if (!(seen->distance <= SNN_MOST_DISTANCE))
        return SNN_DISTANCE;
    if (guard->apart > SNN_MOST_DISAGREEMENT || guard->apart < -SNN_MOST_DISAGREEMENT)
        return SNN_DISAGREEMENT;
    return SNN_NO_FAULT;
}

bool snn_guard_step(snn_guard *guard, const snn_view *seen)
{
    if (!seen->enabled || !seen->served) { /* a set-point of another kind is no fault: the stock controller flies it */
        if (guard->phase != SNN_FAULT || !seen->enabled)
            *guard = (snn_guard){.phase = seen->enabled ? SNN_SHADOW : SNN_OFF};
        return false;
    }
    if (guard->phase == SNN_FAULT)
        return false;
    if (guard->phase == SNN_OFF)
        *guard = (snn_guard){.phase = SNN_SHADOW};
    if (seen->finite)
        guard->apart += APART_SHARE * (seen->disagreement - guard->apart);

    const snn_fault fault = found(guard, seen);
    if (guard->phase == SNN_COMMAND && fault != SNN_NO_FAULT) {
        guard->phase = SNN_FAULT;
        guard->fault = fault;
        return false;
    }
    if (guard->phase == SNN_SHADOW) {
        guard->fault = fault; /* shown, not latched: nobody listens to the policy yet */
        if (fault != SNN_NO_FAULT || seen->height < SNN_LEAST_HEIGHT)
            guard->good = 0;
        else if (seen->fresh)
            guard->good++;
        if (guard->good >= SNN_SHADOW_STEPS)
            guard->phase = SNN_COMMAND;
    }
    return guard->phase == SNN_COMMAND;
}
