/* The least that starts a program on QEMU's Cortex-M4 board mps2-an386; newlib's rdimon prints through the emulator. */
#include <stdint.h>

extern uint32_t _stack;
extern void _start(void);

static void reset(void)
{
    *(volatile uint32_t *)0xE000ED88 |= 0xF << 20; /* switch the FPU on */
    _start();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {&_stack, (const void *)reset};
