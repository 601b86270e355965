/* A stand-in for what else the app includes: queues of length 1, parameters and logs as exported symbols, the clock, the
   battery, and a stock controller whose command the test sets. */
#ifndef STANDIN_H
#define STANDIN_H

#include <stdint.h>
#include <string.h>

#include "stabilizer_types.h"

typedef struct {
    void *item;
    int size, full;
} *QueueHandle_t;

#define pdTRUE 1
#define portMAX_DELAY 0
#define STATIC_MEM_QUEUE_ALLOC(NAME, LENGTH, SIZE) \
    static char NAME##_item[SIZE];                 \
    static struct {                                \
        void *item;                                \
        int size, full;                            \
    } NAME##_queue = {NAME##_item, SIZE, 0}
#define STATIC_MEM_QUEUE_CREATE(NAME) ((QueueHandle_t)&NAME##_queue)

static inline int xQueueOverwrite(QueueHandle_t queue, const void *item)
{
    memcpy(queue->item, item, queue->size);
    return queue->full = 1;
}

static inline int xQueueReceive(QueueHandle_t queue, void *item, int wait)
{
    (void)wait;
    if (!queue->full)
        return 0;
    memcpy(item, queue->item, queue->size);
    queue->full = 0;
    return 1;
}

/* A parameter or log becomes a function at_enable, at_phase, ... that gives its address. */
#define PARAM_UINT32 0
#define PARAM_RONLY 0
#define PARAM_GROUP_START(NAME)
#define PARAM_GROUP_STOP(NAME)
#define PARAM_ADD(TYPE, NAME, ADDRESS) \
    void *at_##NAME(void) { return (void *)(ADDRESS); }
#define LOG_GROUP_START(NAME)
#define LOG_GROUP_STOP(NAME)
#define LOG_ADD(TYPE, NAME, ADDRESS) \
    void *at_##NAME(void) { return (void *)(ADDRESS); }

#define DEBUG_PRINT(...)

float pmGetBatteryVoltage(void);
uint64_t usecTimestamp(void);
void controllerPidInit(void);
bool controllerPidTest(void);
void controllerPid(control_t *control, const setpoint_t *setpoint, const sensorData_t *sensors, const state_t *state,
                   const stabilizerStep_t tick);

#endif
