/* Movers: compaction, packing of landing logs, evacuation of rows. All unlocked. */
#ifndef SFS_STORE_MOVE_H
#define SFS_STORE_MOVE_H

#include "store/store.h"

/* Moves every live extent out of these rows of a data group. Without `tail`, what does not fill a row stays. */
int sfs_move_rows(struct sfs_store *s, uint32_t group, const uint32_t *rows, size_t count, bool tail, size_t *moved);
/* The same for rows of several groups, which fill rows together. */
struct sfs_rows {
    uint32_t group;
    const uint32_t *rows;
    size_t count;
};
int sfs_move_rows_of(struct sfs_store *s, const struct sfs_rows *lists, size_t lists_count, bool tail, size_t *moved);
/* Every extent of data that is still in the group, found by going through the extent map, which is slow: of rows whose lists are lost, and
 * those that cannot be read. Of these what can be read goes along, and the rest stays lost: reading it is an error, as before. */
struct sfs_care;
int sfs_move_stranded(struct sfs_care *care, uint32_t group, size_t *moved);
/* Moves the first *done of these extents, as far as they are still there. */
int sfs_move_extents(struct sfs_store *s, const uint64_t *ids, size_t count, size_t *done);
/* Packs a landing group that is not being filled into wide rows. */
int sfs_move_landing(struct sfs_store *s, uint32_t group);
/* The next closed landing group, if there is one. */
bool sfs_move_landing_next(struct sfs_store *s, int *err);
int sfs_pack_logs(struct sfs_store *s); /* all that are not being filled */
/* Packs what waits in logs and lets what was freed become usable: nothing is gained beyond what is already free. */
int sfs_settle(struct sfs_store *s);
/* Tries to make rows that can be taken: packs, commits; compacts when nothing is free then, or when told to try harder. OK when it is
 * worth trying again, else NOSPC. */
int sfs_make_room(struct sfs_store *s, bool harder);
/* The same for nodes: a group of data is emptied for them. */
int sfs_make_node_room(struct sfs_store *s);

#endif
