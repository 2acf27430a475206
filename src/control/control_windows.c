/* Windows: a pool can be used, but not yet managed from another process (that will be a named
 * pipe). */
#include "control/client.h"
#include "control/server.h"

int scalefs_control_start(struct scalefs_pool *pool, const char *mountpoint,
                          void (*request_unmount)(void *context), void *context,
                          struct scalefs_control **control, struct scalefs_error_info *info)
{
    (void)pool, (void)mountpoint, (void)request_unmount, (void)context;
    *control = NULL;
    return sfs_control_fail(info, SCALEFS_E_NOTSUP,
                            "A mounted pool cannot be managed from another process on Windows.");
}

void scalefs_control_closing(struct scalefs_control *control)
{
    (void)control;
}

void scalefs_control_closed(struct scalefs_control *control, int error)
{
    (void)control, (void)error;
}

void scalefs_control_stop(struct scalefs_control *control)
{
    (void)control;
}

int sfs_control_find(const char *pool, struct sfs_control_client **client,
                     struct scalefs_error_info *info)
{
    *client = NULL;
    return sfs_control_fail(info, SCALEFS_E_NOENT, "No mounted pool is called %s.", pool);
}

void sfs_control_disconnect(struct sfs_control_client *client)
{
    (void)client;
}

int sfs_control_each(void (*each)(void *context, const struct sfs_value *status), void *context)
{
    (void)each, (void)context;
    return SCALEFS_OK;
}

const struct sfs_value *sfs_control_pool(const struct sfs_control_client *client)
{
    (void)client;
    return NULL;
}

int sfs_control_ask(struct sfs_control_client *client, const char *line, size_t len,
                    bool (*on_answer)(void *context, const struct sfs_value *answer), void *context,
                    struct scalefs_error_info *info)
{
    (void)client, (void)line, (void)len, (void)on_answer, (void)context;
    return sfs_control_fail(info, SCALEFS_E_NOTSUP, "There is no control socket on Windows.");
}

int sfs_control_unmount(struct sfs_control_client *client,
                        int (*take_away)(void *context, struct scalefs_error_info *info), bool (*keep_waiting)(void *context),
                        void *context, struct scalefs_error_info *info)
{
    (void)client, (void)take_away, (void)keep_waiting, (void)context;
    return sfs_control_fail(info, SCALEFS_E_NOTSUP, "There is no control socket on Windows.");
}
