/* A stand-in for the firmware's header: the structures that the app reads and writes, by the names of the firmware. */
#ifndef STABILIZER_TYPES_H
#define STABILIZER_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#define STABILIZER_NR_OF_MOTORS 4

typedef uint32_t stabilizerStep_t;

typedef struct {
    float x, y, z;
} Axis3f;

typedef struct {
    float roll, pitch, yaw;
} attitude_t;

typedef struct {
    float x, y, z, w;
} quaternion_t;

typedef struct {
    Axis3f acc, gyro;
} sensorData_t;

typedef struct {
    attitude_t attitude;
    quaternion_t attitudeQuaternion;
    Axis3f position, velocity;
} state_t;

typedef enum { modeDisable = 0, modeAbs, modeVelocity } stab_mode_t;

typedef struct {
    stab_mode_t x, y, z, roll, pitch, yaw, quat;
} setpoint_mode_t;

typedef struct {
    attitude_t attitude;
    quaternion_t attitudeQuaternion;
    float thrust;
    Axis3f position, velocity;
    setpoint_mode_t mode;
} setpoint_t;

typedef enum { controlModeLegacy = 0, controlModeForceTorque = 1, controlModeForce = 2 } control_mode_t;

typedef struct {
    union {
        struct {
            int16_t roll, pitch, yaw;
            float thrust;
        };
        struct {
            float thrustSi, torqueX, torqueY, torqueZ;
        };
        float normalizedForces[STABILIZER_NR_OF_MOTORS];
    };
    control_mode_t controlMode;
} control_t;

#endif
