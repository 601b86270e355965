#include "snn_adapter.h"

#include <math.h>

#include "autoconf.h"
#include "platform_defaults.h"
#include "snn_config.h"

#define LEAST_VOLTS 2.0f /* below it the firmware stops the motors */

bool snn_serves(const setpoint_t *setpoint)
{
    return setpoint->mode.x == modeAbs && setpoint->mode.y == modeAbs && setpoint->mode.z == modeAbs &&
           setpoint->mode.yaw != modeVelocity;
}

static float yaw_of(const setpoint_t *setpoint)
{
    if (setpoint->mode.quat == modeAbs) {
        const quaternion_t *q = &setpoint->attitudeQuaternion;
        return atan2f(2.0f * (q->w * q->z + q->x * q->y), 1.0f - 2.0f * (q->y * q->y + q->z * q->z));
    }
    return setpoint->mode.yaw == modeAbs ? RADIANS_PER_DEGREE * setpoint->attitude.yaw : 0.0f;
}

void snn_observe(const state_t *state, const sensorData_t *sensors, const setpoint_t *setpoint, float volts,
                 float observation[POLICY_INPUTS])
{
    const float yaw = yaw_of(setpoint), c = cosf(yaw), s = sinf(yaw);
    const float x = state->attitudeQuaternion.x, y = state->attitudeQuaternion.y;
    const float z = state->attitudeQuaternion.z, w = state->attitudeQuaternion.w;
    const float dx = state->position.x - setpoint->position.x, dy = state->position.y - setpoint->position.y;
    const float vx = state->velocity.x - setpoint->velocity.x, vy = state->velocity.y - setpoint->velocity.y;
    const float r[3][3] = {
        {1.0f - 2.0f * (y * y + z * z), 2.0f * (x * y - w * z), 2.0f * (x * z + w * y)},
        {2.0f * (x * y + w * z), 1.0f - 2.0f * (x * x + z * z), 2.0f * (y * z - w * x)},
        {2.0f * (x * z - w * y), 2.0f * (y * z + w * x), 1.0f - 2.0f * (x * x + y * y)},
    };
    observation[POLICY_POSITION_X] = c * dx + s * dy;
    observation[POLICY_POSITION_Y] = c * dy - s * dx;
    observation[POLICY_POSITION_Z] = state->position.z - setpoint->position.z;
    for (int i = 0; i < 3; i++) {
        observation[POLICY_ROTATION_XX + i] = c * r[0][i] + s * r[1][i];
        observation[POLICY_ROTATION_YX + i] = c * r[1][i] - s * r[0][i];
        observation[POLICY_ROTATION_ZX + i] = r[2][i];
    }
    observation[POLICY_VELOCITY_X] = c * vx + s * vy;
    observation[POLICY_VELOCITY_Y] = c * vy - s * vx;
    observation[POLICY_VELOCITY_Z] = state->velocity.z - setpoint->velocity.z;
    observation[POLICY_RATE_X] = RADIANS_PER_DEGREE * sensors->gyro.x;
    observation[POLICY_RATE_Y] = RADIANS_PER_DEGREE * sensors->gyro.y;
    observation[POLICY_RATE_Z] = RADIANS_PER_DEGREE * sensors->gyro.z;
#ifdef POLICY_VOLTAGE_SPAN
    observation[POLICY_VOLTAGE] = (volts - POLICY_VOLTAGE_MIDDLE) / POLICY_VOLTAGE_SPAN;
#else
    (void)volts;
#endif
}

#ifdef CONFIG_ENABLE_THRUST_BAT_COMPENSATED
/* Thrust (N) of a motor at this voltage, by the firmware's own fit. */
static float thrust_at(float motor_volts)
{
    return VMOTOR2THRUST0 + motor_volts * (VMOTOR2THRUST1 + motor_volts * (VMOTOR2THRUST2 + motor_volts * VMOTOR2THRUST3));
}
#endif

static float within(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

void snn_forces(const float action[POLICY_OUTPUTS], float volts, float forces[STABILIZER_NR_OF_MOTORS])
{
    for (int i = 0; i < STABILIZER_NR_OF_MOTORS; i++) {
        const float u = within(0.5f * action[i] + 0.5f, 0.0f, 1.0f);
#ifdef CONFIG_ENABLE_THRUST_BAT_COMPENSATED
        const float supply = volts > LEAST_VOLTS ? volts : LEAST_VOLTS;
        const float most = thrust_at(supply); /* more would make the firmware lower all motors together */
        const float thrust = SNN_MAPS_DUTY ? thrust_at(u * supply) : SNN_CURVE_0 + u * (SNN_CURVE_1 + u * SNN_CURVE_2);
        forces[i] = within(thrust, 0.0f, most) / THRUST_MAX;
#else
        const float full = SNN_CURVE_0 + SNN_CURVE_1 + SNN_CURVE_2;
        (void)volts;
        forces[i] = SNN_MAPS_DUTY ? u : within((SNN_CURVE_0 + u * (SNN_CURVE_1 + u * SNN_CURVE_2)) / full, 0.0f, 1.0f);
#endif
    }
}

void snn_command(const float forces[STABILIZER_NR_OF_MOTORS], control_t *control)
{
    const float arm = 0.707106781f * ARM_LENGTH; /* of the firmware's mixer, which this undoes */
    const float m1 = THRUST_MAX * forces[0], m2 = THRUST_MAX * forces[1];
    const float m3 = THRUST_MAX * forces[2], m4 = THRUST_MAX * forces[3];
    control->controlMode = controlModeForceTorque;
    control->thrustSi = m1 + m2 + m3 + m4;
    control->torqueX = arm * (m3 + m4 - m1 - m2);
    control->torqueY = arm * (m2 + m3 - m1 - m4);
    control->torqueZ = THRUST2TORQUE * (m2 + m4 - m1 - m3);
}
