/*
 * dhcpcd's hook: sends its environment to the supervisor and ends. dhcpcd would run shell scripts here;
 * the machine has no shell, and the supervisor alone sets addresses. The message is the environment's
 * strings, each ended by a zero byte, over the stream socket named below.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

extern char **environ;

int main(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/bareboat/dhcp.sock"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return 1; /* The supervisor is being restarted; it asks dhcpcd again (SIGUSR2 is a rebind). */
	for (char **e = environ; *e; e++)
		for (size_t left = strlen(*e) + 1, sent = 0; left > 0;) {
			ssize_t n = write(fd, *e + sent, left);
			if (n < 0)
				return 1;
			sent += n;
			left -= n;
		}
	return 0;
}
