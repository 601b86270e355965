// Betaflight's own CRSF receiver on bytes of standard input: prints the sixteen pulses (us) of each frame of channels.
// What its start would call is not there: linked with --unresolved-symbols=ignore-all.
#include <stdio.h>

#include <platform.h>

#include "build/debug.h"
#include "drivers/serial.h"
#include "io/serial.h"
#include "pg/pg.h"
#include "pg/pg_ids.h"
#include "pg/rx.h"
#include "rx/crsf.h"
#include "rx/rx.h"

PG_REGISTER(rxConfig_t, rxConfig, PG_RX_CONFIG, 0);

rssiSource_e rssiSource;
int16_t debug[DEBUG16_VALUE_COUNT];
uint8_t debugMode;
static uint32_t now;
uint32_t micros(void) { return now; }
uint32_t microsISR(void) { return now; }

serialPort_t *openSerialPort(serialPortIdentifier_e a, serialPortFunction_e b, serialReceiveCallbackPtr c, void *d,
                             uint32_t e, portMode_e f, portOptions_e g)
{
    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g;
    return NULL;
}
void serialWriteBuf(serialPort_t *port, const uint8_t *data, int count) { (void)port, (void)data, (void)count; }

void crsfDataReceive(uint16_t c, void *data);
uint8_t crsfFrameStatus(rxRuntimeState_t *state);
float crsfReadRawRC(const rxRuntimeState_t *state, uint8_t channel);

int main(void)
{
    static rxRuntimeState_t state;
    for (int byte; (byte = getchar()) != EOF; now += 24) { // us of a byte at 420000 baud
        crsfDataReceive((uint16_t)byte, &state);
        if (crsfFrameStatus(&state) == RX_FRAME_COMPLETE) {
            for (int n = 0; n < 16; n++) {
                printf("%.3f%c", (double)crsfReadRawRC(&state, n), n == 15 ? '\n' : ' ');
            }
            now += 3000;
        }
    }
    return 0;
}
