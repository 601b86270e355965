#include "standin.h"

float volts = 3.9f;
control_t stock; /* what the stock controller commands: the test flies it */

float pmGetBatteryVoltage(void) { return volts; }
uint64_t usecTimestamp(void) { return 0; }
void controllerPidInit(void) {}
bool controllerPidTest(void) { return true; }

void controllerPid(control_t *control, const setpoint_t *setpoint, const sensorData_t *sensors, const state_t *state,
                   const stabilizerStep_t tick)
{
    (void)setpoint, (void)sensors, (void)state;
    control->controlMode = stock.controlMode;
    control->thrust = stock.thrust;
    if (tick % 2 == 0) { /* at 500 Hz, as the firmware's */
        control->roll = stock.roll;
        control->pitch = stock.pitch;
        control->yaw = stock.yaw;
    }
}
