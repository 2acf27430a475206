/* Asserts for programmers' errors, always on. Bytes from disk and words from users never reach one. */
#ifndef SFS_BASE_ASSERT_H
#define SFS_BASE_ASSERT_H

_Noreturn void sfs_assert_failed(const char *file, int line, const char *what);
#define SFS_ASSERT(x) ((x) ? (void)0 : sfs_assert_failed(__FILE__, __LINE__, #x))

#endif
