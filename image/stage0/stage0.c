/*
 * stage0: process 1 of the machine. It mounts the root image, starts the supervisor and starts it again
 * when it dies, reaps orphans, and makes the final reboot(2) call. It holds no policy: what the
 * supervisor wants at the end it says by its exit code. A crash of the supervisor is thereby no
 * kernel panic.
 *
 *   exit code of the supervisor    stage0 then
 *   64 / 65 / 66                   restarts / powers off / halts the machine
 *   anything else                  starts it again, after RETRY_MS when it had run shorter than that
 *
 * fd 3 of the supervisor is the reading end of a pipe that outlives supervisors: for each orphan reaped
 * stage0 writes a line `PID STATUS` (as waitpid(2) gives it), so that a new supervisor learns how units
 * that it adopted have ended.
 *
 * Arguments name another program to keep running (tests: as init of a pid namespace); without
 * /root.erofs nothing is mounted.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 200
#define EXIT_REBOOT 64
#define EXIT_POWER_OFF 65
#define EXIT_HALT 66
#define MODULE_INIT_COMPRESSED_FILE 4

static char *const SUPERVISOR[] = {"/usr/bin/node", "--no-warnings", "--disable-sigusr1",
	"--max-semi-space-size=2", "/usr/lib/bareboat/supervisor.js", NULL};

static long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void say(const char *what, const char *object)
{
	dprintf(2, "stage0: %s %s%s%s\n", what, object, errno ? ": " : "", errno ? strerror(errno) : "");
}

/* Without a root there is nothing to run: say why, leave time to read it, start over. */
static void fail(const char *what, const char *object)
{
	say(what, object);
	sleep(10);
	reboot(RB_AUTOBOOT);
	_exit(1);
}

static void attach(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	mkdir(target, 0755);
	if (mount(source, target, type, flags, data) < 0)
		fail("cannot mount", target);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The few modules that the root image needs, in the order of their file names. */
static void load_modules(void)
{
	char *names[32], path[300];
	int count = 0;
	DIR *dir = opendir("/modules");
	for (struct dirent *e; dir && (e = readdir(dir)) && count < 32;)
		if (e->d_name[0] != '.')
			names[count++] = strdup(e->d_name);
	qsort(names, count, sizeof *names, by_name);
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof path, "/modules/%s", names[i]);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		int plain = strcmp(path + strlen(path) - 3, ".ko") == 0;
		errno = 0;
		if (syscall(SYS_finit_module, fd, "", plain ? 0 : MODULE_INIT_COMPRESSED_FILE) < 0 && errno != EEXIST)
			say("cannot load", path);
		close(fd);
	}
}

/* From the initramfs, which cannot be unmounted, into the image; the image file stays in memory. */
static void enter_root(void)
{
	static const char *const moved[] = {"/proc", "/sys", "/dev"};
	char target[32];
	load_modules();
	attach("/root.erofs", "/root", "erofs", MS_RDONLY | MS_NODEV, NULL);
	for (int i = 0; i < 3; i++) {
		snprintf(target, sizeof target, "/root%s", moved[i]);
		if (mount(moved[i], target, NULL, MS_MOVE, NULL) < 0)
			fail("cannot move", moved[i]);
	}
	if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		fail("cannot enter", "/root");
}

static void prepare(void)
{
	attach("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	attach("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	attach("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
	attach("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate");
	int console = open("/dev/console", O_RDWR | O_NOCTTY);
	for (int fd = 0; console >= 0 && fd < 3; fd++)
		dup2(console, fd);
	if (console > 2)
		close(console);
	errno = 0;
	say("mounting", "/root.erofs");
	enter_root();
}

static void end(int code)
{
	sync();
	if (code == EXIT_REBOOT)
		reboot(RB_AUTOBOOT);
	else if (code == EXIT_POWER_OFF)
		reboot(RB_POWER_OFF);
	else
		reboot(RB_HALT_SYSTEM);
	_exit(code); /* In a pid namespace reboot(2) ends the namespace; elsewhere it may be refused. */
}

static pid_t start(char *const argv[], int statuses)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (statuses != 3)
		dup2(statuses, 3);
	else
		fcntl(3, F_SETFD, 0);
	/* Reads of event devices and netlink each hold a thread of the pool: keys are made in it too. */
	static char *const environment[] = {"PATH=/usr/bin:/usr/sbin", "HOME=/root", "TERM=linux",
		"UV_THREADPOOL_SIZE=12", NULL};
	execve(argv[0], argv, environment);
	say("cannot start", argv[0]);
	_exit(127);
}

int main(int argc, char **argv)
{
	char *const *command = argc > 1 ? argv + 1 : SUPERVISOR;
	int statuses[2];
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL); /* Ctrl-Alt-Del and the like are the supervisor's. */
	if (access("/root.erofs", F_OK) == 0)
		prepare();
	/* Writing never waits: lines that nobody reads are dropped when the pipe is full. */
	if (pipe2(statuses, O_CLOEXEC) < 0 || fcntl(statuses[1], F_SETFL, O_NONBLOCK) < 0)
		fail("cannot make", "a pipe");
	for (;;) {
		long started = now_ms();
		pid_t supervisor = start(command, statuses[0]);
		if (supervisor < 0)
			say("cannot fork for", command[0]); /* No memory just now: orphans must not be waited for. */
		while (supervisor > 0) {
			int status;
			pid_t pid = waitpid(-1, &status, 0);
			if (pid < 0 && errno != EINTR)
				break;
			if (pid == supervisor) {
				int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
				if (code >= EXIT_REBOOT && code <= EXIT_HALT)
					end(code);
				errno = 0;
				dprintf(2, "stage0: supervisor ended with status %d, starting it again\n", status);
				break;
			}
			if (pid > 0)
				dprintf(statuses[1], "%d %d\n", pid, status);
		}
		if (now_ms() - started < RETRY_MS)
			usleep(RETRY_MS * 1000);
	}
}
