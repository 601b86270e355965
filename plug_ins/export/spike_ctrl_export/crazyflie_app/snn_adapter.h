/* Between the firmware's structures and the policy: pure functions, no state. Units and frames are those of the firmware's
   stabilizer_types.h on one side, and of policy.h on the other. */
#ifndef SNN_ADAPTER_H
#define SNN_ADAPTER_H

#include <stdbool.h>

#include "policy.h"
#include "stabilizer_types.h"

#define RADIANS_PER_DEGREE 0.017453292519943295f

/* Whether the policy can follow this set-point: absolute x, y and z, and an absolute yaw or none. Take-off by thrust,
   velocities, and a landed commander are left to the stock controller. */
bool snn_serves(const setpoint_t *setpoint);

/* The observation in the set-point's frame. Position m, velocity m/s, attitude the quaternion (body FLU to world), gyro
   degrees per second about the FLU axes. The angles of `state->attitude` are not read: their pitch has the legacy sign.
   volts: of the battery, for a policy that sees it. */
void snn_observe(const state_t *state, const sensorData_t *sensors, const setpoint_t *setpoint, float volts,
                 float observation[POLICY_INPUTS]);

/* The four forces, 1 = THRUST_MAX, M1 to M4, from actions in [-1, 1]. volts: of the battery.
   SNN_MAPS_DUTY 0: the rotor's thrust by the airframe's curve, which the firmware's battery compensation delivers at any
   voltage. SNN_MAPS_DUTY 1: u is the share of time that the motor is on, so the compensation is undone. They may be above
   1, up to what a motor gives that is always on. */
void snn_forces(const float action[POLICY_OUTPUTS], float volts, float forces[STABILIZER_NR_OF_MOTORS]);

/* The command that makes the firmware's power distribution give each motor its force. In controlModeForceTorque, because
   controlModeForce cuts forces at THRUST_MAX. */
void snn_command(const float forces[STABILIZER_NR_OF_MOTORS], control_t *control);

#endif
