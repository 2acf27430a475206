/* Names, creating, scanning and probing on Windows. Names are UTF-8 outside and UTF-16 inside. */
#include "disk/windows.h"

#include <stdio.h>
#include <string.h>
#include <winioctl.h>

#include "disk/signatures.h"

const char sfs_native_list_separator = ';';

bool sfs_windows_is_device(const char *path)
{
    return !strncmp(path, "\\\\.\\", 4) || !strncmp(path, "//./", 4);
}

int sfs_windows_path(const char *path, wchar_t wide[SFS_WIDE_PATH], char *text, size_t text_bytes)
{
    wchar_t given[SFS_WIDE_PATH], full[SFS_WIDE_PATH];
    if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, given, SFS_WIDE_PATH))
        return GetLastError() == ERROR_INSUFFICIENT_BUFFER ? SCALEFS_E_NAMETOOLONG
                                                           : SCALEFS_E_INVAL;
    if (sfs_windows_is_device(path)) {
        wcscpy(full, given);
    } else {
        DWORD len = GetFullPathNameW(given, SFS_WIDE_PATH, full, NULL);
        if (!len || len >= SFS_WIDE_PATH)
            return len ? SCALEFS_E_NAMETOOLONG : SCALEFS_E_INVAL;
    }
    if (text && !WideCharToMultiByte(CP_UTF8, 0, full, -1, text, (int)text_bytes, NULL, NULL))
        return SCALEFS_E_NAMETOOLONG;
    bool drive = full[0] && full[1] == L':' && full[2] == L'\\';
    size_t len = wcslen(full), prefix = drive && len >= 240 ? 4 : 0;
    if (len + prefix >= SFS_WIDE_PATH)
        return SCALEFS_E_NAMETOOLONG;
    wcscpy(wide, prefix ? L"\\\\?\\" : L"");
    wcscat(wide, full);
    return SCALEFS_OK;
}

static int open_error(DWORD error)
{
    switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_DRIVE:
    case ERROR_BAD_PATHNAME:
        return SCALEFS_E_NOENT;
    case ERROR_ALREADY_EXISTS:
    case ERROR_FILE_EXISTS:
        return SCALEFS_E_EXIST;
    case ERROR_ACCESS_DENIED:
    case ERROR_PRIVILEGE_NOT_HELD:
        return SCALEFS_E_ACCESS;
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION:
    case ERROR_BUSY:
        return SCALEFS_E_BUSY;
    case ERROR_WRITE_PROTECT:
        return SCALEFS_E_ROFS;
    case ERROR_NOT_READY:
    case ERROR_NO_MEDIA_IN_DRIVE:
    case ERROR_DEVICE_NOT_CONNECTED:
    case ERROR_BAD_NETPATH:
    case ERROR_BAD_NET_NAME:
        return SCALEFS_E_GONE;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:
        return SCALEFS_E_BACKING_FULL;
    case ERROR_FILE_TOO_LARGE:
        return SCALEFS_E_FBIG;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_TOO_MANY_OPEN_FILES:
        return SCALEFS_E_NOMEM;
    case ERROR_INVALID_NAME:
    case ERROR_INVALID_PARAMETER:
        return SCALEFS_E_INVAL;
    default:
        return SCALEFS_E_IO;
    }
}

int sfs_windows_refuse(struct scalefs_error_info *info, const char *path, const char *what,
                       DWORD error)
{
    int code = open_error(error);
    wchar_t wide[256];
    char words[512] = "";
    if (code == SCALEFS_E_BUSY)
        return sfs_refuse(info, code, "%s is in use by another program or another ScaleFS.",
                          path);
    DWORD len = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                               error, 0, wide, 256, NULL);
    while (len && (wide[len - 1] <= L' ' || wide[len - 1] == L'.'))
        len--;
    int bytes =
        len ? WideCharToMultiByte(CP_UTF8, 0, wide, (int)len, words, sizeof words - 1, NULL, NULL)
            : 0;
    words[bytes > 0 ? bytes : 0] = 0;
    return sfs_refuse(info, code, "%s cannot be %s: %s (Windows error %lu).", path, what,
                      words[0] ? words : scalefs_error_text(code), (unsigned long)error);
}

int sfs_native_create_file(struct sfs_env *env, const char *path, uint64_t size,
                           struct scalefs_error_info *info)
{
    (void)env;
    wchar_t wide[SFS_WIDE_PATH];
    DWORD got;
    FILE_END_OF_FILE_INFO end = {.EndOfFile.QuadPart = (LONGLONG)size};
    int r = sfs_windows_path(path, wide, NULL, 0);
    if (r)
        return sfs_refuse(info, r, "%s cannot be created: it is not a usable path.", path);
    HANDLE file = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_NEW,
                              FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return sfs_windows_refuse(info, path, "created", GetLastError());
    /* Where files cannot be sparse this fails, and the file takes its whole size. */
    DeviceIoControl(file, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &got, NULL);
    DWORD error = 0;
    if (size > INT64_MAX)
        error = ERROR_FILE_TOO_LARGE;
    else if (!SetFileInformationByHandle(file, FileEndOfFileInfo, &end, sizeof end) ||
             !FlushFileBuffers(file))
        error = GetLastError();
    CloseHandle(file);
    if (!error)
        return SCALEFS_OK;
    DeleteFileW(wide);
    return sfs_windows_refuse(info, path, "created", error);
}

int sfs_native_scan_devices(struct sfs_env *env, void (*found)(void *arg, const char *path),
                            void *arg)
{
    (void)env;
    (void)found;
    (void)arg;
    return SCALEFS_OK;
}

static bool is_candidate(const WIN32_FIND_DATAW *entry)
{
    uint64_t size = (uint64_t)entry->nFileSizeHigh << 32 | entry->nFileSizeLow;
    return !(entry->dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_DEVICE)) &&
           size >= SFS_IO_ALIGN;
}

int sfs_native_scan_folder(struct sfs_env *env, const char *folder,
                           void (*found)(void *arg, const char *path), void *arg)
{
    (void)env;
    wchar_t pattern[SFS_WIDE_PATH];
    char base[1024], path[2048], name[3 * MAX_PATH];
    WIN32_FIND_DATAW entry;
    if (sfs_windows_path(folder, pattern, base, sizeof base) || wcslen(pattern) + 3 > SFS_WIDE_PATH)
        return SCALEFS_OK; /* no folder: no disks in it */
    wcscat(pattern, L"\\*");
    HANDLE search = FindFirstFileW(pattern, &entry);
    if (search == INVALID_HANDLE_VALUE)
        return SCALEFS_OK;
    do {
        if (is_candidate(&entry) &&
            WideCharToMultiByte(CP_UTF8, 0, entry.cFileName, -1, name, sizeof name, NULL, NULL)) {
            snprintf(path, sizeof path, "%s\\%s", base, name);
            found(arg, path);
        }
    } while (FindNextFileW(search, &entry));
    FindClose(search);
    return SCALEFS_OK;
}

/* Reads whole sectors: raw disks give nothing else. */
static int read_head(HANDLE file, uint8_t *head, DWORD *len)
{
    DWORD got, part = 4096;
    for (*len = 0; *len + part <= SFS_SIGNATURE_BYTES; *len += got) {
        if (!ReadFile(file, head + *len, part, &got, NULL))
            return GetLastError() == ERROR_HANDLE_EOF ? SCALEFS_OK : SCALEFS_E_IO;
        if (got == 0)
            break;
    }
    return SCALEFS_OK;
}

int sfs_native_probe(struct sfs_env *env, const char *path, char what[128])
{
    wchar_t wide[SFS_WIDE_PATH];
    DWORD len, first = 0;
    int r = sfs_windows_path(path, wide, NULL, 0);
    if (r)
        return r;
    DWORD kind = GetFileAttributesW(wide);
    if (kind != INVALID_FILE_ATTRIBUTES && (kind & FILE_ATTRIBUTE_DIRECTORY) &&
        !sfs_windows_is_device(path))
        return SCALEFS_E_NOTSUP;
    HANDLE file =
        CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                    NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return open_error(GetLastError());
    uint8_t *head = sfs_alloc_io(env, SFS_SIGNATURE_BYTES);
    r = head ? read_head(file, head, &len) : SCALEFS_E_NOMEM;
    if (!r) {
        const char *words = sfs_signature_find(head, len);
        while (first < len && first < SFS_IO_ALIGN && !head[first])
            first++;
        if (!words && !sfs_windows_is_device(path) && first < len && first < SFS_IO_ALIGN)
            words = "data of an unknown kind";
        snprintf(what, 128, "%s", words ? words : "");
    }
    sfs_free(env, head);
    CloseHandle(file);
    return r;
}
