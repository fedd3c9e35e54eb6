# Starts the disk that carries one installation, on a BIOS: a network boot program (PXE 2.1 §4.4.3), loaded at 0000:7C00.
#
# A BIOS numbers its disks as it likes. So each of them is asked for one sector, where the installation's marker lies
# (Sources/BlockIO/InstallMarker.swift), and the one that has it is started as the BIOS would: its first sector at 0000:7C00,
# its number in DL. Where none has it, the program says so and returns to iPXE.
#
# The server writes the sector's number and the marker's beginning into each copy that it sends, behind "HSTLRTGT"
# (Sources/BootServices/Files/DiskLoader.swift).

    .code16
    .set ORIGIN, 0x7c00
    .set HERE, 0x600                        # where the program moves to: the disk's first sector takes its place
    .set BUFFER, 0x1000
    .set MARKER_BYTES, 28
    .set FIRST_DISK, 0x80
    .set DISKS, 16

    .globl _start
_start:
    pushfw
    pushal
    pushw %ds
    pushw %es
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw $ORIGIN, %si
    movw $HERE, %di
    movw $(finish - _start), %cx
    rep movsb
    ljmp $0, $(moved - _start + HERE)
moved:
    sti
    movb $FIRST_DISK, %dl

disk:
    # Extended reads (EDD 3.0 §8): older BIOSes that have none see no disk behind 8 GB.
    pushw %dx
    movb $0x41, %ah
    movw $0x55aa, %bx
    int $0x13
    popw %dx
    jc next
    cmpw $0xaa55, %bx
    jne next
    movw $(target - _start + HERE), %si
    movw $(packet - _start + HERE + 8), %di
    movw $4, %cx
    rep movsw
    movw $BUFFER, (packet - _start + HERE + 4)
    call read
    jc next
    movw $BUFFER, %si
    movw $(expected - _start + HERE), %di
    movw $MARKER_BYTES, %cx
    repe cmpsb
    jne next

    # This is the disk: its first sector.
    movw $(packet - _start + HERE + 8), %di
    xorw %ax, %ax
    movw $4, %cx
    rep stosw
    movw $ORIGIN, (packet - _start + HERE + 4)
    call read
    jc next
    cmpw $0xaa55, (ORIGIN + 510)
    jne next
    cli
    xorw %ax, %ax
    movw %ax, %ss
    movw $ORIGIN, %sp
    sti
    ljmp $0, $ORIGIN

next:
    # A disk may have been read over what was at 7C00: nothing of that is needed.
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    incb %dl
    cmpb $(FIRST_DISK + DISKS), %dl
    jne disk

    movw $(message - _start + HERE), %si
letter:
    lodsb
    testb %al, %al
    jz return
    movb $0x0e, %ah
    movw $7, %bx
    int $0x10
    jmp letter
return:
    popw %es
    popw %ds
    popal
    popfw
    movw $1, %ax                            # PXENV_EXIT_FAILURE
    lret

# One sector, as the packet says, of disk DL. The carry flag says that it failed.
read:
    pushw %dx
    movb $0x10, (packet - _start + HERE)
    movw $1, (packet - _start + HERE + 2)
    movw $(packet - _start + HERE), %si
    movb $0x42, %ah
    int $0x13
    popw %dx
    movw $0, %ax
    movw %ax, %ds
    movw %ax, %es
    ret

message:
    .asciz "Hostler: the BIOS shows no disk with this machine's system.\r\n"
    .balign 4
packet:
    .byte 0x10, 0
    .word 1, 0, 0
    .quad 0
    .ascii "HSTLRTGT"
target:
    .quad 0
expected:
    .fill MARKER_BYTES, 1, 0
finish:
