/* The policy in the firmware: a task of its own answers states at POLICY_RATE_HZ; the controller of the stabiliser loop
   (1000 Hz) applies its last answer, or the stock PID's. The task has a lower priority than the loop, so that a step of the
   network never delays it. They exchange copies through queues of length 1. */
#include <math.h>

#include "FreeRTOS.h"
#include "app.h"
#include "controller.h"
#include "controller_pid.h"
#include "log.h"
#include "param.h"
#include "pm.h"
#include "queue.h"
#include "snn_adapter.h"
#include "snn_config.h"
#include "snn_guard.h"
#include "static_mem.h"
#include "task.h"
#include "usec_time.h"

#define DEBUG_MODULE "SNN"
#include "debug.h"

#define TICKS_PER_STEP (1000 / POLICY_RATE_HZ)

typedef struct {
    uint32_t tick;
    bool first; /* of an activation: the membranes start at zero */
    float observation[POLICY_INPUTS];
} question;

typedef struct {
    uint32_t tick; /* of the question */
    bool finite;
    float action[POLICY_OUTPUTS];
} answer;

static QueueHandle_t questions, answers;
STATIC_MEM_QUEUE_ALLOC(questions, 1, sizeof(question));
STATIC_MEM_QUEUE_ALLOC(answers, 1, sizeof(answer));

static policy_state membranes;
static snn_guard guard;
static answer last;
static bool asked; /* since the last activation */
static control_t stock; /* the PID controller's own: it keeps its moments from one of its steps to the next */

static uint8_t enable;
static uint32_t weights = SNN_WEIGHTS;
static uint8_t phase, fault;
static uint16_t step_us, longest_us, missed;
static float spike_share;

void snn_answer_one(void) /* apart from appMain, so that a test can call it */
{
    static question asking;
    static answer reply;
    if (xQueueReceive(questions, &asking, portMAX_DELAY) != pdTRUE)
        return;
    const uint64_t begun = usecTimestamp();
    if (asking.first)
        policy_reset(&membranes);
    reply.tick = asking.tick;
    reply.finite = policy_step(&membranes, asking.observation, reply.action) == 0;
    for (int i = 0; i < POLICY_OUTPUTS; i++)
        reply.finite = reply.finite && isfinite(reply.action[i]);
    xQueueOverwrite(answers, &reply);
    step_us = (uint16_t)(usecTimestamp() - begun);
    longest_us = step_us > longest_us ? step_us : longest_us;
    spike_share = policy_spikes(&membranes) / (float)POLICY_NEURONS;
}

void appMain()
{
    DEBUG_PRINT("policy for %s, weights %.12s, set snn.enable in the air\n", POLICY_AIRFRAME, POLICY_CHECKPOINT_SHA256);
    while (1)
        snn_answer_one();
}

void controllerOutOfTreeInit()
{
    if (questions == 0) {
        questions = STATIC_MEM_QUEUE_CREATE(questions);
        answers = STATIC_MEM_QUEUE_CREATE(answers);
    }
    guard = (snn_guard){.phase = SNN_OFF};
    last = (answer){.finite = true};
    asked = false;
    controllerPidInit();
}

bool controllerOutOfTreeTest() { return controllerPidTest(); }

/* Mean force, 1 = THRUST_MAX, of a stock command, which is in the legacy mode: 0 to UINT16_MAX. */
static float mean_force(const control_t *control) { return control->thrust / (float)UINT16_MAX; }

void controllerOutOfTree(control_t *control, const setpoint_t *setpoint, const sensorData_t *sensors, const state_t *state,
                         const stabilizerStep_t tick)
{
    static question asking;
    static answer received;
    float forces[STABILIZER_NR_OF_MOTORS];
    bool fresh = false, finite = true;

    controllerPid(&stock, setpoint, sensors, state, tick); /* it runs always, so that it can take over at once */
    *control = stock;

    const bool served = snn_serves(setpoint);
    if (!(enable && served)) {
        asked = false;
    } else if (!asked || tick % TICKS_PER_STEP == 0) {
        if (!asked)
            last = (answer){.tick = tick, .finite = true};
        asking.first = !asked;
        asking.tick = tick;
        snn_observe(state, sensors, setpoint, pmGetBatteryVoltage(), asking.observation);
        if (asked && last.tick + TICKS_PER_STEP < tick)
            missed++;
        xQueueOverwrite(questions, &asking);
        asked = true;
    }
    if (xQueueReceive(answers, &received, 0) == pdTRUE && asked && received.tick >= last.tick) {
        last = received;
        fresh = true;
    }
    if (asked)
        for (int i = 0; i < POLICY_INPUTS; i++)
            finite = finite && isfinite(asking.observation[i]);
    snn_forces(last.action, pmGetBatteryVoltage(), forces);

    const quaternion_t *q = &state->attitudeQuaternion;
    const float dx = state->position.x - setpoint->position.x, dy = state->position.y - setpoint->position.y;
    const float dz = state->position.z - setpoint->position.z;
    const snn_view seen = {
        .enabled = enable != 0,
        .served = served,
        .fresh = fresh,
        .finite = finite && last.finite,
        .age_ms = tick - last.tick,
        .cosine = 1.0f - 2.0f * (q->x * q->x + q->y * q->y),
        .rate = RADIANS_PER_DEGREE * fmaxf(fabsf(sensors->gyro.x), fabsf(sensors->gyro.y)),
        .yaw_rate = RADIANS_PER_DEGREE * fabsf(sensors->gyro.z),
        .distance = sqrtf(dx * dx + dy * dy + dz * dz),
        .height = state->position.z,
        .disagreement = 0.25f * (forces[0] + forces[1] + forces[2] + forces[3]) - mean_force(&stock),
    };
    if (snn_guard_step(&guard, &seen))
        snn_command(forces, control);
    phase = guard.phase;
    fault = guard.fault;
}

/** The spiking policy. Set enable to 1 in the air, in a hover; 0 gives the vehicle back to the PID controller. weights tells
    which policy it is: the first 32 bits of the sha256 of its weights. */
PARAM_GROUP_START(snn)
PARAM_ADD(PARAM_UINT8, enable, &enable)
PARAM_ADD(PARAM_UINT32 | PARAM_RONLY, weights, &weights)
PARAM_GROUP_STOP(snn)

LOG_GROUP_START(snn)
LOG_ADD(LOG_UINT8, phase, &phase)       /* 0 off, 1 shadow, 2 in command, 3 fault */
LOG_ADD(LOG_UINT8, fault, &fault)       /* snn_guard.h */
LOG_ADD(LOG_UINT16, stepUs, &step_us)   /* of the last step */
LOG_ADD(LOG_UINT16, mostUs, &longest_us)
LOG_ADD(LOG_UINT16, missed, &missed)    /* states that got no answer in time */
LOG_ADD(LOG_FLOAT, spikes, &spike_share) /* share of the neurons */
LOG_GROUP_STOP(snn)
