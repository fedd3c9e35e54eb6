#define _GNU_SOURCE
#include "namespace.h"

#include "confinement.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

// linux/magic.h; glibc has no name for it.
#define NAMESPACE_FILESYSTEM_MAGIC 0x6e736673

static int open_netns(const char *name)
{
    char path[PATH_MAX];
    if (name == NULL || name[0] == 0 || name[0] == '.' || strchr(name, '/') != NULL)
        return -EINVAL;
    if (snprintf(path, sizeof path, "/run/netns/%s", name) >= (int)sizeof path)
        return -ENAMETOOLONG;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int clinux_netns_exists(const char *name)
{
    int fd = open_netns(name);
    if (fd < 0)
        return 0;
    struct statfs facts;
    int mounted = fstatfs(fd, &facts) == 0 && facts.f_type == NAMESPACE_FILESYSTEM_MAGIC;
    close(fd);
    return mounted;
}

int clinux_enter_netns(const char *name)
{
    int fd = open_netns(name);
    if (fd < 0)
        return fd;
    int raised = clinux_raise_sys_admin();
    int result = setns(fd, CLONE_NEWNET) == 0 ? 0 : -errno;
    if (raised == 1)
        clinux_lower_sys_admin();
    close(fd);
    return result;
}

static void close_from(unsigned first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0U, 0) == 0)
        return;
#endif
    long limit = sysconf(_SC_OPEN_MAX);
    for (long fd = first; fd < limit; fd++)
        close((int)fd);
}

// Runs in the child. Only async-signal-safe calls: the parent has threads.
static void become(const struct clinux_spawn_request *request, pid_t parent, int report)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0)
        goto failed;
    if (request->netns != NULL) {
        int result = clinux_enter_netns(request->netns);
        if (result < 0) {
            errno = -result;
            goto failed;
        }
    }
    if (request->new_session && setsid() < 0)
        goto failed;
    if (request->dies_with_parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
            goto failed;
        if (getppid() != parent)
            _exit(127);
    }
    // Above 2 first, so that none of the three overwrites another.
    int log = fcntl(request->log_fd < 0 ? null : request->log_fd, F_DUPFD, 10);
    int errors = fcntl(request->error_fd < 0 ? log : request->error_fd, F_DUPFD, 10);
    int pipe_end = fcntl(report, F_DUPFD_CLOEXEC, 10);
    if (log < 0 || errors < 0 || pipe_end < 0)
        goto failed;
    dup2(null, 0);
    dup2(log, 1);
    dup2(errors, 2);
    report = dup2(pipe_end, 3);
    fcntl(report, F_SETFD, FD_CLOEXEC);
    close_from(4);

    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    if (request->sandbox != NULL) {
        int result = clinux_sandbox_enter(request->sandbox);
        if (result < 0) {
            errno = -result;
            goto failed;
        }
    }
    execve(request->path, request->argv, request->envp != NULL ? request->envp : environ);
failed:;
    int error = errno;
    ssize_t ignored = write(report, &error, sizeof error);
    (void)ignored;
    _exit(127);
}

static pid_t spawn_here(const struct clinux_spawn_request *request)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0)
        become(request, parent, ends[1]);
    int fork_error = errno;
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return -fork_error;
    }
    int error = 0;
    ssize_t count;
    do
        count = read(ends[0], &error, sizeof error);
    while (count < 0 && errno == EINTR);
    close(ends[0]);
    if (count == sizeof error) {
        waitpid(child, NULL, 0);
        return -error;
    }
    return child;
}

// The thread that forks, and the one request it may hold at a time.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static const struct clinux_spawn_request *pending;
static pid_t answer;
static int answered;
static int running;

static void *serve_requests(void *unused)
{
    (void)unused;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_mutex_lock(&lock);
    for (;;) {
        while (pending == NULL)
            pthread_cond_wait(&changed, &lock);
        answer = spawn_here(pending);
        pending = NULL;
        answered = 1;
        pthread_cond_broadcast(&changed);
    }
    return NULL;
}

pid_t clinux_spawn(const struct clinux_spawn_request *request)
{
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&turn);
    pthread_mutex_lock(&lock);
    pid_t result;
    if (!running) {
        pthread_t thread;
        int error = pthread_create(&thread, NULL, serve_requests, NULL);
        if (error != 0) {
            result = -error;
            goto done;
        }
        pthread_detach(thread);
        running = 1;
    }
    answered = 0;
    pending = request;
    pthread_cond_broadcast(&changed);
    while (!answered)
        pthread_cond_wait(&changed, &lock);
    result = answer;
done:
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&turn);
    return result;
}
