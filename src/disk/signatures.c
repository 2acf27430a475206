/* See signatures.h. Boot sectors of FAT, NTFS and exFAT end like a partition table does, so they
 * are asked first, and a partition table must have an entry that makes sense. */
#include "disk/signatures.h"

#include <stdbool.h>
#include <string.h>

#include "base/codec.h"

struct signature {
    size_t offset;
    const char *bytes;
    size_t len;
    const char *what;
};

#define SIGNATURE(offset, text, what)                                                              \
    {                                                                                              \
        offset, text, sizeof text - 1, what                                                        \
    }

static const struct signature signatures[] = {
    SIGNATURE(3, "NTFS    ", "an NTFS file system"),
    SIGNATURE(3, "EXFAT   ", "an exFAT file system"),
    SIGNATURE(3, "\0\0\0\0\0ReFS", "a ReFS file system"),
    SIGNATURE(3, "ReFS\0", "a ReFS file system"),
    SIGNATURE(3, "-FVE-FS-", "a BitLocker volume"),
    SIGNATURE(54, "FAT12   ", "a FAT file system"),
    SIGNATURE(54, "FAT16   ", "a FAT file system"),
    SIGNATURE(82, "FAT32   ", "a FAT file system"),
    SIGNATURE(512, "EFI PART", "a GPT partition table"),
    SIGNATURE(4096, "EFI PART", "a GPT partition table"),
    SIGNATURE(1024 + 56, "\x53\xef", "an ext2, ext3 or ext4 file system"),
    SIGNATURE(65536 + 64, "_BHRfS_M", "a btrfs file system"),
    SIGNATURE(0, "XFSB", "an xfs file system"),
    SIGNATURE(1024, "\x10\x20\xf5\xf2", "an f2fs file system"),
    SIGNATURE(0, "hsqs", "a squashfs file system"),
    SIGNATURE(32769, "CD001", "an ISO 9660 file system"),
    SIGNATURE(0, "LUKS\xba\xbe", "a LUKS encrypted volume"),
    SIGNATURE(512, "LABELONE", "an LVM physical volume"),
    SIGNATURE(0, "\xfc\x4e\x2b\xa9", "a Linux software RAID member"),
    SIGNATURE(4096, "\xfc\x4e\x2b\xa9", "a Linux software RAID member"),
    SIGNATURE(4086, "SWAPSPACE2", "swap space"),
};

/* Four entries of 16 bytes at 446: status, CHS, type, CHS, first sector, sectors. */
static bool is_mbr(const uint8_t *head, size_t len)
{
    bool any = false;
    if (len < 512 || head[510] != 0x55 || head[511] != 0xaa)
        return false;
    for (int i = 0; i < 4; i++) {
        const uint8_t *entry = head + 446 + 16 * i;
        if (entry[0] != 0 && entry[0] != 0x80)
            return false;
        if (entry[4] && sfs_get32(entry + 8) && sfs_get32(entry + 12))
            any = true;
    }
    return any;
}

const char *sfs_signature_find(const uint8_t *head, size_t len)
{
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const struct signature *s = &signatures[i];
        if (s->offset + s->len <= len && !memcmp(head + s->offset, s->bytes, s->len))
            return s->what;
    }
    return is_mbr(head, len) ? "an MBR partition table" : NULL;
}
