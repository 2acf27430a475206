/* What happens to the images. */
#include "mutate.h"

enum { HEAD = 2 << 20 };

/* --- damage that checksums find --- */

static bool is_used(const uint8_t *p)
{
    static const uint8_t zeros[BLOCK];
    return memcmp(p, zeros, BLOCK) != 0;
}

/* A block that holds something; heads are few, and hit as often as all else. */
static size_t some_block(const uint8_t *disk)
{
    size_t end = mutate_random(2) ? DISK_BYTES : (size_t)4 << 20;
    for (unsigned tries = 0; tries < 4000; tries++) {
        size_t at = mutate_random(end / BLOCK) * BLOCK;
        if (is_used(disk + at))
            return at;
    }
    return 4096;
}

static void hurt(uint8_t *const bytes[DISKS], unsigned disk, bool tell)
{
    uint8_t *d = bytes[disk];
    size_t at = some_block(d), from = some_block(d), len;
    unsigned how = (unsigned)mutate_random(8);
    if (tell)
        printf("#   disk %u at %zu: %u\n", disk, at, how);
    switch (how) {
    case 0:
        memset(d + at, 0, BLOCK);
        break;
    case 1:
        mutate_fill(d + at, BLOCK, mutate_random(1000) * 3 + 1);
        break;
    case 2: /* written elsewhere */
        memcpy(d + at, d + from, BLOCK);
        break;
    case 3: /* torn */
        memcpy(d + at + 512 * (1 + mutate_random(7)), d + from, 512);
        break;
    case 4: /* of another disk; not so that it takes its name */
        if (at > HEAD)
            memcpy(d + at, bytes[(disk + 1) % DISKS] + at, BLOCK);
        break;
    case 5:
        len = (1 + mutate_random(256)) * BLOCK;
        mutate_fill(d + at, at + len < DISK_BYTES ? len : DISK_BYTES - at, mutate_random(1000) * 3 + 2);
        break;
    default:
        d[at + mutate_random(BLOCK)] ^= (uint8_t)(1u << mutate_random(8));
    }
}

static bool damage(uint8_t *const bytes[DISKS], bool tell)
{
    bool sure = mutate_random(3) > 0;
    unsigned count = 1 + (unsigned)mutate_random(mutate_random(2) ? 5 : 200), only = (unsigned)mutate_random(DISKS);
    for (unsigned i = 0; i < count; i++)
        hurt(bytes, sure ? only : (unsigned)mutate_random(DISKS), tell);
    if (sure && mutate_random(8) == 0) /* all of its head */
        mutate_fill(bytes[only], HEAD, 1);
    if (tell && sure)
        printf("#   disk %u must not matter\n", only);
    return sure;
}

/* --- fields that are believed --- */

enum { MAGIC_BLOCK = 0x31534653, MAGIC_NODE = 0x4e534653, MAGIC_SUMMARY = 0x53534653, NODE = 16384, ITEM = 21 };

static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static uint32_t get16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

/* Its length; 0: no object begins here. *kind: blocks by type, nodes by tree, summaries. */
static uint32_t object_at(const uint8_t *d, size_t at, unsigned *kind)
{
    uint32_t magic = get32(d + at), tree;
    if (magic == MAGIC_BLOCK) {
        *kind = d[at + 4] % 8;
        return BLOCK;
    }
    if (magic == MAGIC_NODE && at + NODE <= DISK_BYTES) {
        tree = get32(d + at + 32);
        *kind = 8 + (tree < 4 ? tree : 4);
        return NODE;
    }
    *kind = 13;
    return magic == MAGIC_SUMMARY ? BLOCK : 0;
}

struct object {
    unsigned disk;
    size_t at;
    uint32_t len;
    unsigned kind;
};

/* An object of a random kind, since nodes of files are many and records few. */
static bool pick(uint8_t *const bytes[DISKS], struct object *o)
{
    unsigned wanted = (unsigned)mutate_random(14), kind, seen = 0;
    for (unsigned disk = 0; disk < DISKS; disk++)
        for (size_t at = 0; at < DISK_BYTES; at += BLOCK) {
            uint32_t len = object_at(bytes[disk], at, &kind);
            if (len && kind == wanted && mutate_random(++seen) == 0)
                *o = (struct object){disk, at, len, kind};
        }
    return seen > 0;
}

static uint64_t telling_value(uint64_t old)
{
    switch (mutate_random(14)) {
    case 0: return 0;
    case 1: return 1;
    case 2: return UINT64_MAX;
    case 3: return INT64_MAX;
    case 4: return 1ull << 63;
    case 5: return old + 1;
    case 6: return old - 1;
    case 7: return old ^ 1ull << mutate_random(64);
    case 8: return UINT32_MAX;
    case 9: return INT32_MAX;
    case 10: return mutate_random(UINT64_MAX);
    case 11: return mutate_random(300);
    case 12: return old * 2;
    default: return old + mutate_random(1 << 16);
    }
}

/* Where something stands: among the items of a node, in the first part of a block. */
static uint32_t some_field(const uint8_t *p, const struct object *o)
{
    if (o->len != NODE)
        return 16 + (uint32_t)mutate_random(mutate_random(3) ? 344 : BLOCK - 24);
    uint32_t items = get16(p + 48), item;
    if (!items || mutate_random(8) == 0)
        return 16 + (uint32_t)mutate_random(48);
    item = (uint32_t)mutate_random(items < 770 ? items : 770);
    uint32_t slot = 64 + item * ITEM, value = get16(p + slot + 17), len = get16(p + slot + 19);
    if (mutate_random(4) && len && value + len <= NODE)
        return value + (uint32_t)mutate_random(len);
    return slot + (uint32_t)mutate_random(ITEM);
}

/* All copies alike: no other one can be asked. */
static void believe(uint8_t *const bytes[DISKS], const struct object *o, bool tell)
{
    static uint8_t old[NODE], new[NODE];
    memcpy(old, bytes[o->disk] + o->at, o->len);
    memcpy(new, old, o->len);
    for (unsigned i = 1 + (unsigned)mutate_random(3); i; i--) {
        uint64_t value = 0;
        unsigned width = 1u << mutate_random(4);
        uint32_t at = some_field(new, o);
        at = at + width > o->len ? o->len - width : at;
        memcpy(&value, new + at, width);
        value = telling_value(value);
        memcpy(new + at, &value, width);
        if (tell)
            printf("#   kind %u, disk %u at %zu: [%u] %u bytes: %llx\n", o->kind, o->disk, o->at, at, width, (unsigned long long)value);
    }
    for (unsigned disk = 0; disk < DISKS; disk++)
        for (size_t at = 0; at + o->len <= DISK_BYTES; at += BLOCK)
            if (!memcmp(bytes[disk] + at, old, o->len))
                memcpy(bytes[disk] + at, new, o->len);
}

static void damage_believed(uint8_t *const bytes[DISKS], bool tell)
{
    struct object o = {0, 0, 0, 0};
    for (unsigned i = 1 + (unsigned)mutate_random(3); i; i--)
        if (pick(bytes, &o))
            believe(bytes, &o, tell);
}

bool mutate_damage(uint8_t *const bytes[DISKS], bool tell)
{
#ifdef MUTATE_TRUSTED
    damage_believed(bytes, tell);
    (void)damage;
    return false;
#else
    (void)damage_believed;
    return damage(bytes, tell);
#endif
}
