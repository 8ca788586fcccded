// The program of sealed.py for aarch64: makes the system calls of a list (calls.py), one after another.
// x19: the call that is being made, an entry of 104 bytes: number, six arguments, expected result,
// errors that it may have, entry for success, entry for an error or another result, result, step.
// x20: the list.

        movz    x20, #0x1000, lsl #16
        add     x19, x20, #0xd0         // the third entry is the first to be made
next:   ldp     x8, x0, [x19]
        ldp     x1, x2, [x19, #16]
        ldp     x3, x4, [x19, #32]
        ldp     x5, x9, [x19, #48]      // x9: the expected result
        cmn     x8, #1                  // no system call: the byte at an address
        b.ne    call
        ldrb    w0, [x0]
        b       keep
call:   svc     #0
keep:   str     x0, [x19, #88]
        cmn     x0, #4095               // -4095 to -1 are errors
        b.hs    error
        cmn     x9, #1                  // any result will do
        b.eq    good
        cmp     x0, x9
        b.eq    good
bad:    ldr     x19, [x19, #80]
        b       next
good:   ldr     x19, [x19, #72]
        b       next
error:  neg     x0, x0
        ldr     x9, [x19, #64]
        lsr     x9, x9, x0
        tbnz    w9, #0, bad
        str     x19, [x20, #0x98]       // unexpected: which call it was is noted in the second entry
        mov     x19, x20                // and the first two report it, and end the process
        b       next
