/* threads.c: how many threads launches may use, and why. */
#if defined(__linux__)
#define _GNU_SOURCE
#include <sched.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#include <windows.h>
#else
#include <unistd.h>
#endif

#include "backend.h"
#include "team.h"

static int count;
static unsigned version;
static char reason[96];

int fnn_cores(void) {
#if defined(_WIN32)
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return (int)info.dwNumberOfProcessors;
#else
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
#endif
}

/* Cores that this process may run on. */
static int affinity(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
  return fnn_cores();
}

#if defined(__linux__)
/* The first number in a file, and a second one after it when `second` is given. Returns how many. */
static int read_numbers(const char *path, long long *first, long long *second) {
  FILE *file = fopen(path, "r");
  if (!file) return 0;
  int n = second ? fscanf(file, "%lld %lld", first, second) : fscanf(file, "%lld", first);
  fclose(file);
  return n;
}

/* The quota of one control group in CPUs, 0 where it has none. */
static double quota_of(const char *folder, int v2) {
  char path[1200];
  long long quota = 0, period = 0;
  if (v2) {
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (read_numbers(path, &quota, &period) != 2) return 0; /* "max 100000": no quota */
  } else {
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (read_numbers(path, &quota, NULL) != 1) return 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (read_numbers(path, &period, NULL) != 1) return 0;
  }
  return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

/* The least quota from a group up to the root of its tree. In a container the group's path may be that of
 * the host; its tail is cut until a folder is there. */
static double least_quota(const char *root, const char *group, int v2) {
  char folder[1100];
  double least = 0;
  snprintf(folder, sizeof folder, "%s%s", root, strcmp(group, "/") ? group : "");
  for (;;) {
    double quota = quota_of(folder, v2);
    if (quota > 0 && (least == 0 || quota < least)) least = quota;
    char *slash = strrchr(folder, '/');
    if (strlen(folder) <= strlen(root) || !slash) return least;
    *slash = 0;
  }
}

/* CPUs granted by control groups v1 or v2, 0 for no quota. /proc/self/cgroup has lines id:controllers:path. */
static double cgroup_quota(void) {
  char line[1024];
  double least = 0;
  FILE *file = fopen("/proc/self/cgroup", "r");
  while (file && fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    char *controllers = strchr(line, ':'),
         *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) continue;
    *group++ = 0;
    controllers++;
    double quota = 0;
    if (!*controllers) {
      quota = least_quota("/sys/fs/cgroup", group, 1);
    } else {
      for (char *name = strtok(controllers, ","); name; name = strtok(NULL, ","))
        if (!strcmp(name, "cpu")) quota = least_quota("/sys/fs/cgroup/cpu", group, 0);
    }
    if (quota > 0 && (least == 0 || quota < least)) least = quota;
  }
  if (file) fclose(file);
  return least;
}
#else
static double cgroup_quota(void) { return 0; }
#endif

static void find_count(void) {
  const char *text = getenv("OMP_NUM_THREADS");
  long wish = text ? strtol(text, NULL, 10) : 0; /* "4,2" gives the outer level's 4 */
  if (wish >= 1 && wish <= FNN_MOST_THREADS) {
    count = (int)wish;
    snprintf(reason, sizeof reason, "OMP_NUM_THREADS=%ld", wish);
  } else {
    double quota = cgroup_quota();
    count = affinity();
    snprintf(reason, sizeof reason, "%d of %d cores in this process's affinity", count,
             fnn_cores());
    if (quota > 0 && quota < count) {
      count = quota < 1 ? 1 : (int)quota;
      snprintf(reason, sizeof reason, "cgroup quota of %.4g cores", quota);
    }
  }
  if (count > FNN_MOST_THREADS) count = FNN_MOST_THREADS;
  version = 1;
}

int fnn_threads(void) {
  if (!version) find_count();
  return fnn_backend_threads(count, version);
}

void fnn_set_threads(int n) {
  if (!version) find_count();
  count = n < 1 ? 1 : n > FNN_MOST_THREADS ? FNN_MOST_THREADS : n;
  snprintf(reason, sizeof reason, "set_num_threads(%d)", count);
  version++;
  fnn_backend_threads(count, version);
}

const char *fnn_threads_reason(void) {
  if (!version) find_count();
  int now = fnn_threads();
  static char limited[160];
  if (now == count) return reason;
  snprintf(limited, sizeof limited, "limited to %d through OpenMP (%s)", now, reason);
  return limited;
}
