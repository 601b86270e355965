/* A Crazyflie 2.1: thrust (N) of a motor as a cubic of its voltage, the unit of a force, and
   the lengths of the mixer. Facts from
   bitcraze/crazyflie-firmware, platform_defaults_cf2.h, 2026.08. */
#define VMOTOR2THRUST0 -0.014830744918356092f
#define VMOTOR2THRUST1 0.04724465241828281f
#define VMOTOR2THRUST2 -0.01847364358025878f
#define VMOTOR2THRUST3 0.005960923942142f
#define THRUST_MAX 0.12f
#define ARM_LENGTH 0.046f
#define THRUST2TORQUE 0.007350862856566459f
