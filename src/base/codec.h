/* Little-endian codecs and a bounded cursor whose error sticks. Everything on disk goes through here.
 *
 * A cursor is a window on memory. Each get/put checks the bound, moves on, and on overrun sets `bad`
 * and yields zeros; the caller checks `bad` once, at the end.
 */
#ifndef SFS_BASE_CODEC_H
#define SFS_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t sfs_get16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] | b[1] << 8);
}
static inline uint32_t sfs_get32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static inline uint64_t sfs_get64(const void *p)
{
    return (uint64_t)sfs_get32(p) | (uint64_t)sfs_get32((const uint8_t *)p + 4) << 32;
}
static inline void sfs_put16(void *p, uint16_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)v;
    b[1] = (uint8_t)(v >> 8);
}
static inline void sfs_put32(void *p, uint32_t v)
{
    sfs_put16(p, (uint16_t)v);
    sfs_put16((uint8_t *)p + 2, (uint16_t)(v >> 16));
}
static inline void sfs_put64(void *p, uint64_t v)
{
    sfs_put32(p, (uint32_t)v);
    sfs_put32((uint8_t *)p + 4, (uint32_t)(v >> 32));
}

struct sfs_reader {
    const uint8_t *at, *end;
    bool bad;
};
struct sfs_writer {
    uint8_t *start, *at, *end;
    bool bad;
};

static inline struct sfs_reader sfs_reader(const void *p, size_t len)
{
    return (struct sfs_reader){p, (const uint8_t *)p + len, false};
}
static inline struct sfs_writer sfs_writer(void *p, size_t len)
{
    return (struct sfs_writer){p, p, (uint8_t *)p + len, false};
}
static inline size_t sfs_writer_len(const struct sfs_writer *w)
{
    return (size_t)(w->at - w->start);
}
/* The next `len` bytes, or NULL (and `bad`) when there are fewer. */
static inline const uint8_t *sfs_r_bytes(struct sfs_reader *r, size_t len)
{
    if (r->bad || (size_t)(r->end - r->at) < len) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += len;
    return p;
}
static inline uint8_t *sfs_w_bytes(struct sfs_writer *w, size_t len)
{
    if (w->bad || (size_t)(w->end - w->at) < len) {
        w->bad = true;
        return NULL;
    }
    uint8_t *p = w->at;
    w->at += len;
    return p;
}
static inline uint8_t sfs_r8(struct sfs_reader *r)
{
    const uint8_t *p = sfs_r_bytes(r, 1);
    return p ? *p : 0;
}
static inline uint16_t sfs_r16(struct sfs_reader *r)
{
    const uint8_t *p = sfs_r_bytes(r, 2);
    return p ? sfs_get16(p) : 0;
}
static inline uint32_t sfs_r32(struct sfs_reader *r)
{
    const uint8_t *p = sfs_r_bytes(r, 4);
    return p ? sfs_get32(p) : 0;
}
static inline uint64_t sfs_r64(struct sfs_reader *r)
{
    const uint8_t *p = sfs_r_bytes(r, 8);
    return p ? sfs_get64(p) : 0;
}
static inline void sfs_r_copy(struct sfs_reader *r, void *to, size_t len)
{
    const uint8_t *p = sfs_r_bytes(r, len);
    if (p)
        memcpy(to, p, len);
    else
        memset(to, 0, len);
}
static inline void sfs_w8(struct sfs_writer *w, uint8_t v)
{
    uint8_t *p = sfs_w_bytes(w, 1);
    if (p)
        *p = v;
}
static inline void sfs_w16(struct sfs_writer *w, uint16_t v)
{
    uint8_t *p = sfs_w_bytes(w, 2);
    if (p)
        sfs_put16(p, v);
}
static inline void sfs_w32(struct sfs_writer *w, uint32_t v)
{
    uint8_t *p = sfs_w_bytes(w, 4);
    if (p)
        sfs_put32(p, v);
}
static inline void sfs_w64(struct sfs_writer *w, uint64_t v)
{
    uint8_t *p = sfs_w_bytes(w, 8);
    if (p)
        sfs_put64(p, v);
}
static inline void sfs_w_copy(struct sfs_writer *w, const void *from, size_t len)
{
    uint8_t *p = sfs_w_bytes(w, len);
    if (p)
        memcpy(p, from, len);
}

#endif
