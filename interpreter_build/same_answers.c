/* Answers of the system that would differ from one build to the next, always alike: chance, clocks, times of files.
 *
 * Loaded into the program that starts the interpreter for its build (LD_PRELOAD). What a library asks by the functions
 * of libc is answered by functions of the same names; what it asks the kernel itself is caught by a filter that leaves
 * such a call to a handler here. Without the filter, two builds differ in what times of files have left in memory.
 *
 * Linux on x86-64. A call with OWN in the place of its sixth argument, which none of these has, is our own. */

#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define OWN 0x7475726e
#define BYTE 0x5a
#define SECONDS 946684800 /* 2000-01-01, what agents begin with */

static const struct timespec now = {SECONDS, 0};
static const struct statx_timestamp stamp = {.tv_sec = SECONDS};

ssize_t getrandom(void *bytes, size_t length, unsigned flags) {
  memset(bytes, BYTE, length);
  return (ssize_t)length;
}

int getentropy(void *bytes, size_t length) {
  memset(bytes, BYTE, length);
  return 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  switch (clock) {
  case CLOCK_REALTIME:
  case CLOCK_REALTIME_COARSE:
  case CLOCK_MONOTONIC:
  case CLOCK_MONOTONIC_COARSE:
    *time = now;
    return 0;
  default:
    return (int)syscall(SYS_clock_gettime, clock, time);
  }
}

static long own(long number, const greg_t *registers) {
  long result;
  register long fourth __asm__("r10") = registers[REG_R10];
  register long fifth __asm__("r8") = registers[REG_R8];
  register long sixth __asm__("r9") = OWN;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(registers[REG_RDI]), "S"(registers[REG_RSI]), "d"(registers[REG_RDX]), "r"(fourth),
                     "r"(fifth), "r"(sixth)
                   : "rcx", "r11", "memory");
  return result;
}

static void take_out(struct statx *found) {
  found->stx_atime = found->stx_btime = found->stx_ctime = found->stx_mtime = stamp;
  found->stx_ino = 1;
  found->stx_dev_major = found->stx_dev_minor = 1;
  if (S_ISDIR(found->stx_mode)) { /* which depend on the file system */
    found->stx_size = 4096;
    found->stx_blocks = 8;
    found->stx_nlink = 2;
  }
}

static void on_call(int signal, siginfo_t *info, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  long number = info->si_syscall;
  if (number == SYS_getrandom) {
    registers[REG_RAX] = getrandom((void *)registers[REG_RDI], (size_t)registers[REG_RSI], 0);
    return;
  }
  long result = own(number, registers);
  if (!result && number == SYS_statx) take_out((struct statx *)registers[REG_R8]);
  if (!result && number == SYS_newfstatat) {
    struct stat *found = (struct stat *)registers[REG_RDX];
    found->st_atim = found->st_mtim = found->st_ctim = now;
  }
  registers[REG_RAX] = result;
}

__attribute__((constructor)) static void begin(void) {
  struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART | SA_ONSTACK};
  struct sock_filter lines[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN, 4, 0),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_statx, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_newfstatat, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
  };
  struct sock_fprog filter = {sizeof lines / sizeof *lines, lines};
  if (sigaction(SIGSYS, &action, NULL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return;
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter); /* refused: the build goes on, with bits of its own */
}
