// SPDX-License-Identifier: GPL-2.0
/*
 * RDMA as a thread.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "system.h"
#include "worker.h"

#define SECOND		1000000000ULL
#define PATIENCE	30	/* seconds for an interrupt */

void worker_setup(struct worker *worker, struct mlx5_vfio *own)
{
	*worker = (struct worker){ .own = own, .kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	if (worker->kick < 0)
		mig_die("no eventfd: %s", strerror(errno));
	rdma_setup(&worker->work, &own->vf);
}

void worker_teardown(struct worker *worker)
{
	rdma_teardown(&worker->work);
	close(worker->kick);
}

/* Until an interrupt comes, or somebody kicks. */
static void wait_for_event(struct worker *worker)
{
	struct rdma *work = &worker->work;
	struct pollfd fds[] = {
		{ .fd = worker->own->irq, .events = POLLIN },
		{ .fd = worker->kick, .events = POLLIN },
	};
	__u64 count;

	rdma_arm(work);
	if (poll(fds, 2, PATIENCE * 1000) <= 0)
		mig_die("no interrupt in %u s: work %llu of %llu", PATIENCE, work->done,
			work->posted);
	if (read(worker->own->irq, &count, sizeof(count)) == sizeof(count))
		rdma_events(work);
}

static void *run(void *arg)
{
	struct worker *worker = arg;
	__u64 kicks;

	while (read(worker->kick, &kicks, sizeof(kicks)) != sizeof(kicks)) {
		rdma_post(&worker->work);
		if (!rdma_poll(&worker->work))
			wait_for_event(worker);
	}
	return NULL;
}

void worker_go(struct worker *worker)
{
	if (pthread_create(&worker->thread, NULL, run, worker))
		mig_die("no thread");
}

void worker_pause(struct worker *worker)
{
	__u64 one = 1;

	if (write(worker->kick, &one, sizeof(one)) != sizeof(one) ||
	    pthread_join(worker->thread, NULL))
		mig_die("the thread does not end");
}

void worker_progress(struct worker *worker, __u64 more)
{
	__u64 *done = &worker->work.done;
	__u64 goal = __atomic_load_n(done, __ATOMIC_RELAXED) + more;
	uint64_t start = sys_now_ns();

	while (__atomic_load_n(done, __ATOMIC_RELAXED) < goal) {
		if (sys_now_ns() - start > 2 * PATIENCE * SECOND)
			mig_die("no progress: work %llu of %llu", *done, goal);
		usleep(1000);
	}
}

void worker_drain(struct worker *worker)
{
	while (worker->work.done < worker->work.posted)
		if (!rdma_poll(&worker->work))
			wait_for_event(worker);
	rdma_check_memory(&worker->work);
}

void worker_move(struct worker *worker, struct mlx5_vfio *own)
{
	own->vf.token = worker->own->vf.token;
	own->vf.pages = worker->own->vf.pages;
	worker->work.vf = &own->vf;
	worker->own = own;
}
