/* Every on-disk object as text for people: one line for each, without a newline at its end unless it
 * says otherwise. For debugging, `dump` commands and error messages; the wording is no interface.
 */
#ifndef SFS_FORMAT_PRINT_H
#define SFS_FORMAT_PRINT_H

#include "base/text.h"
#include "format/format.h"

const char *sfs_class_name(unsigned class);           /* "system" … "data"; "?" for others */
const char *sfs_group_state_name(unsigned state);     /* "open", "closed", "evacuating" */
const char *sfs_presence_name(unsigned presence);     /* "online", "absent" */
const char *sfs_wish_name(unsigned wish);             /* "staying" … "joining" */
const char *sfs_role_name(unsigned role);             /* "data", "metadata" */

void sfs_label_to_text(struct sfs_text *t, const struct sfs_label *l);
void sfs_nodeptr_to_text(struct sfs_text *t, const struct sfs_nodeptr *p);
void sfs_commit_to_text(struct sfs_text *t, const struct sfs_commit *c); /* a line per directory page */
void sfs_directory_to_text(struct sfs_text *t, const struct sfs_directory *d); /* a line per page */
void sfs_config_to_text(struct sfs_text *t, const struct sfs_config_record *r);
void sfs_diskrec_to_text(struct sfs_text *t, const struct sfs_disk_record *r);
void sfs_tenure_to_text(struct sfs_text *t, const struct sfs_tenure_record *r);
void sfs_group_to_text(struct sfs_text *t, const struct sfs_group_record *r);
void sfs_count_to_text(struct sfs_text *t, const struct sfs_count_record *r);
void sfs_bitmap_to_text(struct sfs_text *t, const struct sfs_bitmap_record *r);
void sfs_task_to_text(struct sfs_text *t, const struct sfs_task_record *r);
/* Any record of a table page, decoded first; one that does not decode says so. */
void sfs_record_to_text(struct sfs_text *t, uint16_t type, const uint8_t *payload, uint16_t len);
void sfs_column_to_text(struct sfs_text *t, const struct sfs_column_header *h);
void sfs_summary_to_text(struct sfs_text *t, const struct sfs_summary *s);
void sfs_entry_to_text(struct sfs_text *t, const struct sfs_entry *e);
void sfs_extent_to_text(struct sfs_text *t, const struct sfs_extent *e);
void sfs_space_to_text(struct sfs_text *t, const struct sfs_row_state rows[SFS_SPACE_CHUNK]);
void sfs_inode_to_text(struct sfs_text *t, const struct sfs_inode_value *v);
void sfs_dirent_to_text(struct sfs_text *t, const struct sfs_dirent_value *v);
void sfs_fileext_to_text(struct sfs_text *t, const struct sfs_fileext_value *v);
void sfs_xattr_to_text(struct sfs_text *t, const struct sfs_xattr_value *v);
void sfs_volume_to_text(struct sfs_text *t, const struct sfs_volume_value *v);
void sfs_node_to_text(struct sfs_text *t, const struct sfs_node_header *h);

#endif
