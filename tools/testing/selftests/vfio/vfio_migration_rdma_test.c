// SPDX-License-Identifier: GPL-2.0
/*
 * Virtual functions of a ConnectX at work, and moved meanwhile: the work goes on with another
 * function, in other memory, with the same objects. No completion is lost or comes twice, and no
 * page that the function wrote to is missing.
 *
 * This uses nothing but VFIO, so the two functions may have different drivers. They are named
 * in the environment, or are the last two arguments.
 */
#include "kselftest_harness.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/worker.h"

#define PAGES	(RDMA_SIZE / MLX5_PAGE)
/* How many pieces of work are done between two steps. */
#define SOME	40

struct scene {
	struct mlx5_vfio vf[2];
	struct worker worker;
	int here;		/* the function that works */
	struct mig_buf stream;	/* of the migration that is under way */
};

FIXTURE(connectx) {
	struct scene scene;
};

FIXTURE_SETUP(connectx)
{
	mlx5_open(&self->scene.vf[0], mig_path(), RDMA_SIZE);
	mlx5_open(&self->scene.vf[1], mig_peer_path(), RDMA_SIZE);
	worker_setup(&self->scene.worker, &self->scene.vf[0]);
	self->scene.here = 0;
	self->scene.stream = (struct mig_buf){};
}

FIXTURE_TEARDOWN(connectx)
{
	int i;

	worker_teardown(&self->scene.worker);
	mig_buf_free(&self->scene.stream);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, mig_reset(&self->scene.vf[i].dev));
		EXPECT_EQ(R, mig_get(&self->scene.vf[i].dev));
		mlx5_close(&self->scene.vf[i]);
	}
}

/* Copies what the function wrote since the last time, and tells how many pages that are. */
static size_t copy_dirty(struct mlx5_vfio *from, struct mlx5_vfio *to)
{
	static __u64 dirty[(PAGES + 63) / 64];
	size_t page, count = 0;
	int ret;

	memset(dirty, 0, sizeof(dirty));
	ret = log_report(&from->dev, MLX5_IOVA, RDMA_SIZE, MLX5_PAGE, dirty);
	if (ret)
		mig_die("log report: %s", strerror(-ret));
	for (page = 0; page < PAGES; page++) {
		size_t at = page * MLX5_PAGE;

		if (!(dirty[page / 64] >> page % 64 & 1))
			continue;
		count++;
		memcpy(to->vf.mem + at, from->vf.mem + at, MLX5_PAGE);
	}
	return count;
}

/* Pages that only the function writes and that are not the same in both memories. */
static size_t differing(const struct mlx5_vfio *from, const struct mlx5_vfio *to)
{
	size_t at, count = 0;

	for (at = RDMA_DEVICE; at < RDMA_SIZE; at += MLX5_PAGE)
		if (memcmp(from->vf.mem + at, to->vf.mem + at, MLX5_PAGE)) {
			count++;
			fprintf(stderr, "# page %#zx was written and not logged\n", at);
		}
	return count;
}

/* Reads what there is, until the stream ends for now or for good. */
static void read_some(struct scene *scene, int fd, int end)
{
	int ret = mig_read(fd, &scene->stream, (struct mig_cut){ 1, 200000, 5 });

	if (ret != end)
		mig_die("the stream ends with %s", strerror(-ret));
}

/* What is rung for while the function may begin nothing stays until it may. */
static void ring_suspended(struct __test_metadata *_metadata, struct worker *worker)
{
	worker_pause(worker);
	rdma_poll(&worker->work);
	rdma_post(&worker->work);
	usleep(20000);
	EXPECT_EQ(0, rdma_poll(&worker->work)) TH_LOG("a suspended function works");
	ASSERT_LT(worker->work.done, worker->work.posted);
}

/* The other function gets the state and the memory, and goes on. */
static void arrive(struct scene *scene)
{
	struct mlx5_vfio *from = &scene->vf[scene->here], *to = &scene->vf[!scene->here];
	int ret;

	ret = __mig_load(&to->dev, &scene->stream, (struct mig_cut){ 1, 200000, 6 });
	if (ret)
		mig_die("load: %s", strerror(-ret));
	scene->stream.len = 0;
	worker_move(&scene->worker, to);
	scene->here = !scene->here;
	mig_set(&to->dev, R);
	/* The one that it came from is to be as new when it is moved back there. */
	if (mig_reset(&from->dev))
		mig_die("reset");
	mlx5_prepare(from);
}

/* After that it works as before. */
static void go_on(struct scene *scene)
{
	__u64 done = scene->worker.work.done;

	worker_go(&scene->worker);
	worker_progress(&scene->worker, 2 * SOME);
	worker_pause(&scene->worker);
	worker_drain(&scene->worker);
	rdma_check_objects(&scene->worker.work);
	if (scene->worker.work.done < done + 2 * SOME)
		mig_die("%llu pieces of work, and then %llu", done, scene->worker.work.done);
}

static void stop_and_copy(struct __test_metadata *_metadata, struct scene *scene)
{
	struct mlx5_vfio *from = &scene->vf[scene->here], *to = &scene->vf[!scene->here];
	int fd;

	worker_go(&scene->worker);
	worker_progress(&scene->worker, SOME);
	mig_set(&from->dev, RP);
	ring_suspended(_metadata, &scene->worker);
	mig_set(&from->dev, ST);
	fd = mig_set(&from->dev, SC);
	read_some(scene, fd, 0);
	memcpy(to->vf.mem, from->vf.mem, RDMA_SIZE);
	mig_set(&from->dev, ST);
	close(fd);
	arrive(scene);
}

static void pre_copy(struct __test_metadata *_metadata, struct scene *scene)
{
	struct mlx5_vfio *from = &scene->vf[scene->here], *to = &scene->vf[!scene->here];
	size_t dirty, round;
	int fd;

	worker_go(&scene->worker);
	worker_progress(&scene->worker, SOME);
	ASSERT_EQ(0, log_start(&from->dev, MLX5_IOVA, RDMA_SIZE, MLX5_PAGE));
	memcpy(to->vf.mem, from->vf.mem, RDMA_SIZE);
	fd = mig_set(&from->dev, PC);
	for (round = 0; round < 3; round++) {
		struct vfio_precopy_info info;

		worker_progress(&scene->worker, SOME);
		ASSERT_EQ(0, mig_precopy_info(fd, &info));
		read_some(scene, fd, -ENOMSG);
		dirty = copy_dirty(from, to);
		EXPECT_GT(dirty, SOME / 2) TH_LOG("pages that were logged");
		EXPECT_LT(dirty, PAGES) TH_LOG("all pages were logged");
	}
	mig_set(&from->dev, PP);
	ring_suspended(_metadata, &scene->worker);
	mig_set(&from->dev, SC);
	read_some(scene, fd, 0);
	copy_dirty(from, to);
	EXPECT_EQ(0, differing(from, to));
	/* The driver knows what it wrote itself. */
	memcpy(to->vf.mem, from->vf.mem, RDMA_DEVICE);
	ASSERT_EQ(0, log_stop(&from->dev));
	mig_set(&from->dev, ST);
	close(fd);
	arrive(scene);
}

TEST_F(connectx, works)
{
	worker_go(&self->scene.worker);
	worker_progress(&self->scene.worker, 8 * SOME);
	worker_pause(&self->scene.worker);
	worker_drain(&self->scene.worker);
	rdma_check_objects(&self->scene.worker.work);
}

TEST_F(connectx, is_stopped_and_goes_on)
{
	worker_go(&self->scene.worker);
	worker_progress(&self->scene.worker, SOME);
	mig_set(&self->scene.vf[0].dev, RP);
	ring_suspended(_metadata, &self->scene.worker);
	mig_set(&self->scene.vf[0].dev, ST);
	mig_set(&self->scene.vf[0].dev, R);
	go_on(&self->scene);
}

TEST_F(connectx, moves_in_stop_copy)
{
	stop_and_copy(_metadata, &self->scene);
	go_on(&self->scene);
}

TEST_F(connectx, moves_in_pre_copy)
{
	pre_copy(_metadata, &self->scene);
	go_on(&self->scene);
}

TEST_F(connectx, moves_there_and_back)
{
	pre_copy(_metadata, &self->scene);
	go_on(&self->scene);
	pre_copy(_metadata, &self->scene);
	stop_and_copy(_metadata, &self->scene);
	go_on(&self->scene);
}

/*
 * There and back over and over, in either direction by pre-copy and by stop-copy in turns:
 * memory is the same before and after.
 */
TEST_F_TIMEOUT(connectx, moves_leave_nothing, 14400)
{
	size_t rounds = mig_rounds(16), first = 8 + rounds / 20, i;
	long before = 0;

	for (i = 0; i < first + rounds; i++) {
		/* The first ones fill caches. */
		if (i == first)
			before = memory_settled();
		if ((i + i / 2) % 2)
			stop_and_copy(_metadata, &self->scene);
		else
			pre_copy(_metadata, &self->scene);
		go_on(&self->scene);
	}
	EXPECT_TRUE(memory_is_back(before, rounds));
}

/* A migration that is given up leaves nothing behind. */
TEST_F(connectx, stays_after_a_migration_that_is_given_up)
{
	int fd;

	worker_go(&self->scene.worker);
	worker_progress(&self->scene.worker, SOME);
	fd = mig_set(&self->scene.vf[0].dev, PC);
	worker_progress(&self->scene.worker, SOME);
	read_some(&self->scene, fd, -ENOMSG);
	mig_set(&self->scene.vf[0].dev, PP);
	ring_suspended(_metadata, &self->scene.worker);
	mig_set(&self->scene.vf[0].dev, R);
	close(fd);
	self->scene.stream.len = 0;
	go_on(&self->scene);
	pre_copy(_metadata, &self->scene);
	go_on(&self->scene);
}

static bool applies(const struct mig_device *dev)
{
	return mlx5_is(dev) && mig_has_peer(dev) && mig_has_precopy_p2p(dev) && log_is_there(dev);
}

static const struct mig_need needs[] = {
	{ "connectx", applies },
};

int main(int argc, char **argv)
{
	if (argc > 2 && argv[argc - 2][0] == '/' && argv[argc - 1][0] == '/') {
		setenv("VFIO_MIGRATION_PEER", argv[--argc], 1);
		setenv("VFIO_MIGRATION_DEVICE", argv[--argc], 1);
		argv[argc] = NULL;
	}
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
