/* Frames: encode, decode, check. See zoned_frame.h. */
#include "disk/zoned_frame.h"

#include "base/assert.h"
#include "base/codec.h"
#include "base/hash.h"

#define MAGIC 0x31534653u
#define TYPE 6u
#define VERSION 1u
#define BLOCK 4096u

static uint64_t header_sum(const uint8_t header[SFS_FRAME_HEAD])
{
    uint8_t copy[SFS_FRAME_HEAD];
    memcpy(copy, header, sizeof copy);
    memset(copy + 8, 0, 8);
    return sfs_hash_identity(copy, sizeof copy, sfs_get16(header + 4), sfs_get64(header + 16), sfs_get64(header + 24));
}

void sfs_frame_encode(const struct sfs_frame *f, uint8_t *frame)
{
    SFS_ASSERT(f->bytes % BLOCK == 0 && f->bytes <= SFS_FRAME_PAYLOAD_MAX && f->offset % BLOCK == 0);
    memset(frame, 0, SFS_FRAME_HEAD);
    sfs_put32(frame, MAGIC);
    sfs_put16(frame + 4, TYPE);
    sfs_put16(frame + 6, VERSION);
    sfs_put64(frame + 16, f->number);
    memcpy(frame + 24, f->log, sizeof f->log);
    sfs_put64(frame + 40, f->offset);
    sfs_put32(frame + 48, f->bytes);
    sfs_put32(frame + 52, f->kind);
    sfs_put64(frame + 56, sfs_hash(frame + SFS_FRAME_HEAD, f->bytes));
    sfs_put64(frame + 8, header_sum(frame));
}

bool sfs_frame_decode(const uint8_t header[SFS_FRAME_HEAD], uint64_t head_bytes, struct sfs_frame *f)
{
    if (sfs_get32(header) != MAGIC || sfs_get16(header + 4) != TYPE || sfs_get16(header + 6) != VERSION ||
        sfs_get64(header + 8) != header_sum(header))
        return false;
    f->number = sfs_get64(header + 16);
    memcpy(f->log, header + 24, sizeof f->log);
    f->offset = sfs_get64(header + 40);
    f->bytes = sfs_get32(header + 48);
    f->kind = sfs_get32(header + 52);
    f->hash = sfs_get64(header + 56);
    return f->kind < SFS_FRAME_KINDS && f->bytes <= SFS_FRAME_PAYLOAD_MAX && f->bytes % BLOCK == 0 &&
           f->offset % BLOCK == 0 && f->offset <= head_bytes && f->bytes <= head_bytes - f->offset;
}

bool sfs_frame_payload_ok(const struct sfs_frame *f, const uint8_t *payload)
{
    return sfs_hash(payload, f->bytes) == f->hash;
}
