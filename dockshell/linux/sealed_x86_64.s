# The program of sealed.py for x86-64: makes the system calls of a list (calls.py), one after another.
# rbx: the call that is being made, an entry of 104 bytes: number, six arguments, expected result,
# errors that it may have, entry for success, entry for an error or another result, result, step.
# rbp: the list.

        mov     ebp, 0x10000000
        lea     rbx, [rbp + 0xd0]       # the third entry is the first to be made
next:   mov     rax, [rbx]
        mov     rdi, [rbx + 8]
        mov     rsi, [rbx + 16]
        mov     rdx, [rbx + 24]
        mov     r10, [rbx + 32]
        mov     r8,  [rbx + 40]
        mov     r9,  [rbx + 48]
        cmp     rax, -1                 # no system call: the byte at an address
        jne     call
        movzx   eax, byte ptr [rdi]
        jmp     keep
call:   syscall
keep:   mov     [rbx + 88], rax
        cmp     rax, -4095              # -4095 to -1 are errors
        jae     error
        mov     rcx, [rbx + 56]
        cmp     rcx, -1                 # any result will do
        je      good
        cmp     rax, rcx
        je      good
bad:    mov     rbx, [rbx + 80]
        jmp     next
good:   mov     rbx, [rbx + 72]
        jmp     next
error:  neg     rax
        mov     rcx, [rbx + 64]
        bt      rcx, rax
        jc      bad
        mov     [rbp + 0x98], rbx       # unexpected: which call it was is noted in the second entry
        mov     rbx, rbp                # and the first two report it, and end the process
        jmp     next
