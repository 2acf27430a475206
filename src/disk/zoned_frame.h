/* Inside src/disk: frames of the log that carries a zoned disk's head (docs/FORMAT.md, section 9). Pure. */
#ifndef SFS_DISK_ZONED_FRAME_H
#define SFS_DISK_ZONED_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#define SFS_FRAME_HEAD 4096u
#define SFS_FRAME_PAYLOAD_MAX (1u << 20)

enum sfs_frame_kind {
    SFS_FRAME_DATA,     /* written by the disk's user */
    SFS_FRAME_START,    /* a set begins */
    SFS_FRAME_COPY,     /* taken over from the other set */
    SFS_FRAME_COMPLETE, /* all that was current has been taken over, durably */
    SFS_FRAME_KINDS
};

struct sfs_frame {
    uint8_t log[16];    /* random, the same in all frames of a log */
    uint64_t number;    /* rises by at least one a frame */
    uint64_t offset;    /* in the head */
    uint32_t bytes;     /* of the payload */
    uint32_t kind;
    uint64_t hash;      /* of the payload */
};

/* Encodes f with the hash of the payload, which follows the header in memory. */
void sfs_frame_encode(const struct sfs_frame *f, uint8_t *frame);
/* False when no header stands there. The payload is not looked at. */
bool sfs_frame_decode(const uint8_t header[SFS_FRAME_HEAD], uint64_t head_bytes, struct sfs_frame *f);
bool sfs_frame_payload_ok(const struct sfs_frame *f, const uint8_t *payload);

#endif
