/* Which computer this is: /etc/machine-id on Linux, MachineGuid on Windows, else the computer's name. */
#include "base/host.h"
#include "base/hash.h"

#include <stdio.h>
#include <string.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <unistd.h>
#endif

#ifdef _WIN32
static size_t machine_text(char *text, size_t size)
{
    DWORD len = (DWORD)size;
    if (!RegGetValueA(HKEY_LOCAL_MACHINE, "SOFTWARE\\Microsoft\\Cryptography", "MachineGuid",
                      RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY, NULL, text, &len))
        return strlen(text);
    len = (DWORD)size;
    return GetComputerNameA(text, &len) ? strlen(text) : 0;
}

void sfs_host_user(uint32_t *uid, uint32_t *gid)
{
    *uid = *gid = 0;
}
#else
static size_t machine_text(char *text, size_t size)
{
    const char *const files[] = {"/etc/machine-id", "/var/lib/dbus/machine-id"};
    for (unsigned i = 0; i < 2; i++) {
        FILE *f = fopen(files[i], "r");
        if (!f)
            continue;
        size_t len = fread(text, 1, size, f);
        fclose(f);
        while (len && text[len - 1] == '\n')
            len--;
        if (len >= 32)
            return len;
    }
    if (gethostname(text, size - 1))
        return 0;
    text[size - 1] = 0;
    return strlen(text);
}

void sfs_host_user(uint32_t *uid, uint32_t *gid)
{
    *uid = (uint32_t)geteuid();
    *gid = (uint32_t)getegid();
}
#endif

uint64_t sfs_host_id(void)
{
    char text[256] = "";
    size_t len = machine_text(text, sizeof text);
    uint64_t id = sfs_hash(text, len);
    return id ? id : 1;
}
