/* Serves an exported policy over a UART: a request holds an observation, its reply an action, 100 times a second.

   request  A5 5A, sequence (1), flags (1; bit 0: first of an activation), 18 float32 in the order of policy.h, CRC (2)
   reply    A5 5A, sequence (1), status (1), 4 float32 actions, CRC (2)

   All numbers are little-endian. The CRC is CRC-16/CCITT-FALSE over all bytes between the two marks and itself. Receive
   REQUEST bytes, call `answer`, send REPLY bytes. After an activation or a gap the membranes start at zero, and the status
   is WARMING_UP for WARM_UP steps: these actions are right, but must not be flown yet. A request with the sequence of the
   last step gets the reply of that step again: its reply was damaged on the way. */
#include <stdint.h>
#include <string.h>

#include "policy.h"

#define REQUEST (4 + 4 * POLICY_INPUTS + 2)
#define REPLY (4 + 4 * POLICY_OUTPUTS + 2)
#define WARM_UP 50

enum { READY = 0, WARMING_UP = 1, DAMAGED = 2, NOT_FINITE = 3 };

typedef struct {
    policy_state state;
    uint8_t sequence; /* of the last step */
    uint8_t flown;    /* steps since the membranes were zero, up to WARM_UP; begins at 0 */
    uint8_t last[REPLY];
} link_state;

static uint16_t crc16(const uint8_t *bytes, int count)
{
    uint16_t crc = 0xFFFF;
    for (int i = 0; i < count; i++) {
        crc = (uint16_t)(crc ^ (bytes[i] << 8));
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
    return crc;
}

static void seal(uint8_t *packet, int size)
{
    const uint16_t crc = crc16(packet + 2, size - 4);
    packet[0] = 0xA5;
    packet[1] = 0x5A;
    packet[size - 2] = (uint8_t)(crc & 0xFF);
    packet[size - 1] = (uint8_t)(crc >> 8);
}

int answer(link_state *link, const uint8_t request[REQUEST], uint8_t reply[REPLY])
{
    float observation[POLICY_INPUTS], action[POLICY_OUTPUTS] = {0};
    const uint16_t crc = crc16(request + 2, REQUEST - 4);
    const int whole = request[0] == 0xA5 && request[1] == 0x5A && request[REQUEST - 2] == (crc & 0xFF) &&
                      request[REQUEST - 1] == crc >> 8;
    int status = DAMAGED;
    if (whole && !(request[3] & 1) && link->flown > 0 && request[2] == link->sequence) {
        memcpy(reply, link->last, REPLY);
        return reply[3];
    }
    if (whole) {
        if ((request[3] & 1) || link->flown == 0 || request[2] != (uint8_t)(link->sequence + 1)) {
            policy_reset(&link->state);
            link->flown = 0;
        }
        memcpy(observation, request + 4, sizeof observation); /* both ends are little-endian */
        if (policy_step(&link->state, observation, action) != 0) {
            link->flown = 0;
            status = NOT_FINITE;
        } else {
            link->flown = (uint8_t)(link->flown < WARM_UP ? link->flown + 1 : WARM_UP);
            status = link->flown < WARM_UP ? WARMING_UP : READY;
        }
        link->sequence = request[2];
    }
    memset(reply, 0, REPLY);
    reply[2] = request[2];
    reply[3] = (uint8_t)status;
    memcpy(reply + 4, action, sizeof action);
    seal(reply, REPLY);
    if (whole)
        memcpy(link->last, reply, REPLY);
    return status;
}
