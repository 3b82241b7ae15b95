// SPDX-License-Identifier: GPL-2.0
/*
 * The DMA engine of the emulated device: what it does, when it must not do it, and that no write
 * of it is lost or done twice when the device moves.
 */
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "lib/engine.h"
#include "lib/log.h"

#define PAGES	64
#define SIZE	(PAGES * EMU_PAGE)
#define BASE	0x10000000ULL

/* The ring of descriptors is in the first page, the generator's ring behind the middle. */
#define AT(page)	(BASE + (page) * EMU_PAGE)
#define GEN_FIRST	32
#define GEN_RING	16

struct side {
	struct emulated emu;
	int irq[EMU_VECTORS];
};

/* A guest's memory, and the device before and after the guest moved. */
struct guest {
	struct side from, to;
	unsigned char *memory;
	struct descriptor *ring;
};

/* The memory of the guest, which both devices see: a guest that moves has it on both sides. */
static void set_up(struct side *side, const char *path, void *memory)
{
	if (emu_open(&side->emu, path) || mig_eventfds(&side->emu.dev, side->irq, EMU_VECTORS) ||
	    mig_map(&side->emu.dev, memory, BASE, SIZE, true))
		mig_die("cannot set %s up", path);
}

static void guest_up(struct guest *guest)
{
	guest->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			     0);
	if (guest->memory == MAP_FAILED)
		mig_die("no memory");
	guest->ring = (void *)guest->memory;
	set_up(&guest->from, mig_path(), guest->memory);
	set_up(&guest->to, mig_peer_path(), guest->memory);
}

static void tear_down(struct __test_metadata *_metadata, struct side *side)
{
	int i;

	EXPECT_EQ(0, mig_reset(&side->emu.dev));
	emu_close(&side->emu);
	for (i = 0; i < EMU_VECTORS; i++)
		close(side->irq[i]);
}

/* One for all types, and one for each optional feature. */
#define GUEST_FIXTURE(_name) \
	FIXTURE(_name) { \
		struct guest guest; \
	}; \
	FIXTURE_SETUP(_name) \
	{ \
		guest_up(&self->guest); \
	} \
	FIXTURE_TEARDOWN(_name) \
	{ \
		tear_down(_metadata, &self->guest.from); \
		tear_down(_metadata, &self->guest.to); \
		munmap(self->guest.memory, SIZE); \
	} \
	struct _end_ ## _name

GUEST_FIXTURE(dma);
GUEST_FIXTURE(dma_p2p);
GUEST_FIXTURE(dma_precopy);
GUEST_FIXTURE(dma_precopy_p2p);

static void ring_doorbell(struct emulated *emu, int n, __u32 producer)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	emu_write(emu, QUEUE(n, PRODUCER), producer);
}

/* Does what one descriptor says; returns its status. */
static __u32 copy(struct guest *guest, struct descriptor descriptor)
{
	struct emulated *emu = &guest->from.emu;

	queue_on(emu, 0, BASE, 1, 0);
	guest->ring[0] = descriptor;
	ring_doorbell(emu, 0, 1);
	if (!queue_reaches(emu, 0, 1))
		mig_die("the descriptor is not done");
	return guest->ring[0].status;
}

static struct descriptor ask(__u64 address, __u64 offset, __u32 length, __u32 command)
{
	return (struct descriptor){
		.address = address, .offset = offset, .length = length, .command = command,
		.tag = 77,
	};
}

static void fill(unsigned char *data, size_t len, uint64_t seed)
{
	while (len--)
		*data++ = mig_random(&seed);
}

TEST_F(dma, registers)
{
	static const struct { __u64 reg; __u32 value, then; } rows[] = {
		{ GEN_PERIOD_US, 9, 1000 }, { GEN_PERIOD_US, 10000001, 1000 },
		{ GEN_PERIOD_US, 10, 10 }, { GEN_PAGES, 0, 1 }, { GEN_PAGES, 65537, 1 },
		{ GEN_PAGES, 65536, 65536 }, { GEN_ADDRESS_LO, 0x12345678, 0x12345000 },
		{ GEN_SEQ_LO, 5, 0 }, { GEN_ERRORS, 5, 0 }, { GEN_CTRL, 0xfffffff8, 0 },
		{ QUEUE(3, RING_LO), 0xffffffff, 0xffffffe0 },
		{ QUEUE(3, RING_SIZE), 1024, 1024 }, { QUEUE(3, RING_SIZE), 3, 1024 },
		{ QUEUE(3, RING_SIZE), 2048, 1024 }, { QUEUE(3, RING_SIZE), 0, 1024 },
		{ QUEUE(3, PRODUCER), 1, 0 }, { QUEUE(3, CONSUMER), 1, 0 },
		{ QUEUE(4, RING_LO), 0xffffffff, 0 },
	};
	struct emulated *emu = &self->guest.from.emu;
	size_t i;

	EXPECT_EQ(2, emu_read(emu, EMU_VERSION));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		emu_write(emu, rows[i].reg, rows[i].value);
		EXPECT_EQ(rows[i].then, emu_read(emu, rows[i].reg))
			TH_LOG("register %#llx after %#x", rows[i].reg, rows[i].value);
	}
	EXPECT_EQ(0, mig_reset(&emu->dev));
	EXPECT_EQ(1000, emu_read(emu, GEN_PERIOD_US));
	EXPECT_EQ(1, emu_read(emu, QUEUE(3, RING_SIZE)));
	EXPECT_EQ(0, emu_read(emu, QUEUE(3, RING_LO)));
}

TEST_F(dma, copies_both_ways)
{
	struct emulated *emu = &self->guest.from.emu;
	static const size_t lengths[] = { 1, 7, 4095, 4096 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		size_t len = lengths[i], from = AT(1) - BASE + 3, to = AT(8) - BASE + 5;
		size_t offset = emu->size - len;

		fill(self->guest.memory + from, len, i + 1);
		memset(self->guest.memory + to - 1, 0x55, len + 2);
		EXPECT_EQ(COPY_DONE, copy(&self->guest,
					  ask(BASE + from, offset, len, TO_DEVICE)));
		EXPECT_EQ(0, memcmp(self->guest.memory + from, emu->mem + offset, len));
		EXPECT_EQ(COPY_DONE, copy(&self->guest, ask(BASE + to, offset, len, TO_MEMORY)));
		EXPECT_EQ(0, memcmp(self->guest.memory + from, self->guest.memory + to, len));
		EXPECT_EQ(0x55, self->guest.memory[to - 1]);
		EXPECT_EQ(0x55, self->guest.memory[to + len]);
		EXPECT_EQ(77, self->guest.ring[0].tag);
	}
}

TEST_F(dma, descriptors_that_cannot_be)
{
	size_t size = self->guest.from.emu.size;
	const struct { struct descriptor descriptor; __u32 status; } rows[] = {
		{ ask(AT(1), 0, 0, TO_MEMORY), COPY_INVALID },
		{ ask(AT(1), 0, ENGINE_COPY + 1, TO_MEMORY), COPY_INVALID },
		{ ask(AT(1), 0, 4096, 0), COPY_INVALID },
		{ ask(AT(1), 0, 4096, 3), COPY_INVALID },
		{ ask(AT(1), size - 4095, 4096, TO_MEMORY), COPY_INVALID },
		{ ask(AT(1), size, 1, TO_DEVICE), COPY_INVALID },
		{ ask(AT(1), ~0ULL, 2, TO_DEVICE), COPY_INVALID },
		{ ask(AT(PAGES), 0, 16, TO_MEMORY), COPY_FAILED },
		{ ask(AT(PAGES), 0, 16, TO_DEVICE), COPY_FAILED },
		{ ask(AT(PAGES) - 8, 0, 16, TO_MEMORY), COPY_FAILED },
		{ ask(~0ULL, 0, 16, TO_MEMORY), COPY_FAILED },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		EXPECT_EQ(rows[i].status, copy(&self->guest, rows[i].descriptor))
			TH_LOG("row %zu", i);
}

TEST_F(dma, a_ring_that_is_not_there_turns_the_queue_off)
{
	struct emulated *emu = &self->guest.from.emu;

	queue_on(emu, 1, AT(PAGES), 4, CTRL_IRQ);
	ring_doorbell(emu, 1, 2);
	EXPECT_FALSE(queue_reaches(emu, 1, 2));
	EXPECT_EQ(CTRL_IRQ, emu_read(emu, QUEUE(1, QUEUE_CTRL)));
	EXPECT_EQ(1, emu_read(emu, QUEUE(1, QUEUE_ERRORS)));
	EXPECT_EQ(0, emu_read(emu, QUEUE(1, CONSUMER)));
	EXPECT_EQ(1, emu_events(self->guest.from.irq[QUEUE_VECTOR + 1]));
	/* And on again. */
	self->guest.ring[0] = ask(AT(1), 0, 8, TO_MEMORY);
	queue_on(emu, 1, BASE, 1, 0);
	ring_doorbell(emu, 1, 1);
	EXPECT_TRUE(queue_reaches(emu, 1, 1));
}

TEST_F(dma, all_queues_at_once)
{
	struct emulated *emu = &self->guest.from.emu;
	int n, i;

	/* 8 descriptors each, around a ring of 4. */
	for (n = 0; n < ENGINE_QUEUES; n++) {
		struct descriptor *ring = (void *)(self->guest.memory + n * EMU_PAGE);

		for (i = 0; i < 4; i++)
			ring[i] = ask(AT(8) + n * 64 + i * 8, n * 8, 8, TO_MEMORY);
		memset(emu->mem + n * 8, n + 1, 8);
		queue_on(emu, n, AT(n), 4, CTRL_IRQ);
	}
	for (i = 4; i <= 8; i += 4) {
		for (n = 0; n < ENGINE_QUEUES; n++)
			ring_doorbell(emu, n, i);
		for (n = 0; n < ENGINE_QUEUES; n++)
			ASSERT_TRUE(queue_reaches(emu, n, i)) TH_LOG("queue %d", n);
	}
	for (n = 0; n < ENGINE_QUEUES; n++) {
		for (i = 0; i < 32; i++)
			EXPECT_EQ(n + 1, self->guest.memory[AT(8) - BASE + n * 64 + i]);
		/* The count comes just before the interrupt. */
		usleep(10000);
		EXPECT_EQ(8, emu_events(self->guest.from.irq[QUEUE_VECTOR + n]))
			TH_LOG("queue %d", n);
	}
}

/* What the ring holds: all numbers up to the last, the last GEN_RING of them in their places. */
static void expect_ring(struct __test_metadata *_metadata, struct guest *guest,
			__u64 last)
{
	__u64 number = last > GEN_RING ? last - GEN_RING : 0;

	while (number++ < last) {
		size_t slot = (number - 1) % GEN_RING;

		EXPECT_EQ(number, stamp_of(guest->memory + (GEN_FIRST + slot) * EMU_PAGE))
			TH_LOG("page of slot %zu", slot);
	}
}

TEST_F(dma, generator_writes_numbered_pages)
{
	struct emulated *emu = &self->guest.from.emu;
	__u64 last;

	generator_on(emu, AT(GEN_FIRST), GEN_RING, 500, CTRL_IRQ);
	ASSERT_TRUE(generator_passes(emu, 2 * GEN_RING));
	mig_set(&emu->dev, ST);
	last = generator_sequence(emu);
	expect_ring(_metadata, &self->guest, last);
	EXPECT_EQ(last, emu_events(self->guest.from.irq[GEN_VECTOR]));
	EXPECT_EQ(0, emu_read(emu, GEN_ERRORS));
	mig_set(&emu->dev, R);
}

TEST_F(dma, generator_waits_for_the_reader)
{
	struct emulated *emu = &self->guest.from.emu;

	generator_on(emu, AT(GEN_FIRST), GEN_RING, 100, CTRL_WAIT);
	ASSERT_TRUE(generator_passes(emu, GEN_RING - 1));
	usleep(20000);
	EXPECT_EQ(GEN_RING, generator_sequence(emu));
	emu_write(emu, GEN_CONSUMED, 3);
	ASSERT_TRUE(generator_passes(emu, GEN_RING + 2));
	usleep(20000);
	EXPECT_EQ(GEN_RING + 3, generator_sequence(emu));
	expect_ring(_metadata, &self->guest, GEN_RING + 3);
}

TEST_F(dma, generator_tries_again)
{
	struct emulated *emu = &self->guest.from.emu;
	int i;

	generator_on(emu, AT(PAGES), 1, 100, 0);
	for (i = 0; i < 5000 && emu_read(emu, GEN_ERRORS) < 3; i++)
		usleep(1000);
	EXPECT_LE(3, emu_read(emu, GEN_ERRORS));
	EXPECT_EQ(0, generator_sequence(emu));
	emu_write(emu, GEN_ADDRESS_LO, AT(GEN_FIRST));
	EXPECT_TRUE(generator_passes(emu, 0));
	/* Else it would be writing the next one over it. */
	mig_set(&emu->dev, ST);
	EXPECT_EQ(generator_sequence(emu),
		  stamp_of(self->guest.memory + GEN_FIRST * EMU_PAGE));
	mig_set(&emu->dev, R);
}

/* Everything at work: the generator, and a queue of which the half is to be done yet. */
static void work(struct guest *guest, __u32 period_us)
{
	struct emulated *emu = &guest->from.emu;
	int i;

	for (i = 0; i < 8; i++)
		guest->ring[i] = ask(AT(1) + 8 * i, 0, 8, TO_MEMORY);
	memset(emu->mem, 0xaa, 8);
	generator_on(emu, AT(GEN_FIRST), GEN_RING, period_us, CTRL_IRQ);
	queue_on(emu, 2, BASE, 8, CTRL_IRQ);
	ring_doorbell(emu, 2, 4);
	if (!queue_reaches(emu, 2, 4) || !generator_passes(emu, 3))
		mig_die("the engine stands still");
}

/* The device writes and signals nothing, and takes doorbells; then it goes on where it was. */
static void expect_still(struct __test_metadata *_metadata, struct guest *guest,
			 const char *rule)
{
	static unsigned char before[SIZE];
	struct emulated *emu = &guest->from.emu;
	__u64 last = generator_sequence(emu);
	int i;

	memcpy(before, guest->memory, SIZE);
	for (i = 0; i < EMU_VECTORS; i++)
		emu_events(guest->from.irq[i]);
	ring_doorbell(emu, 2, 8);
	EXPECT_EQ(8, emu_read(emu, QUEUE(2, PRODUCER))) TH_LOG("%s doorbell", rule);
	usleep(30000);
	EXPECT_EQ(0, memcmp(before, guest->memory, SIZE)) TH_LOG("%s wrote", rule);
	EXPECT_EQ(last, generator_sequence(emu)) TH_LOG("%s counted", rule);
	EXPECT_EQ(4, emu_read(emu, QUEUE(2, CONSUMER))) TH_LOG("%s copied", rule);
	for (i = GEN_VECTOR; i < EMU_VECTORS; i++)
		EXPECT_EQ(0, emu_events(guest->from.irq[i])) TH_LOG("%s vector %d", rule, i);
	mig_set(&emu->dev, R);
	EXPECT_TRUE(queue_reaches(emu, 2, 8)) TH_LOG("%s goes on", rule);
	EXPECT_TRUE(generator_passes(emu, last)) TH_LOG("%s goes on", rule);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(COPY_DONE, guest->ring[i].status) TH_LOG("%s descriptor %d", rule, i);
}

TEST_F(dma, b1_nothing_in_stop)
{
	int round;

	for (round = 0; round < 5; round++) {
		work(&self->guest, 100);
		mig_set(&self->guest.from.emu.dev, ST);
		expect_still(_metadata, &self->guest, "[B1]");
	}
}

TEST_F(dma, b4_nothing_in_stop_copy)
{
	int fd;

	work(&self->guest, 100);
	fd = mig_set(&self->guest.from.emu.dev, SC);
	expect_still(_metadata, &self->guest, "[B4]");
	close(fd);
}

TEST_F(dma_precopy, b6_all_in_pre_copy)
{
	struct emulated *emu = &self->guest.from.emu;
	int fd;

	work(&self->guest, 100);
	fd = mig_set(&emu->dev, PC);
	EXPECT_TRUE(generator_passes(emu, generator_sequence(emu) + 3)) TH_LOG("[B6]");
	ring_doorbell(emu, 2, 8);
	EXPECT_TRUE(queue_reaches(emu, 2, 8)) TH_LOG("[B6]");
	mig_set(&emu->dev, R);
	close(fd);
}

TEST_F(dma_p2p, b5_nothing_in_p2p)
{
	work(&self->guest, 100);
	mig_set(&self->guest.from.emu.dev, RP);
	expect_still(_metadata, &self->guest, "[B5]");
}

TEST_F(dma_precopy_p2p, b5_nothing_in_p2p)
{
	int fd;

	work(&self->guest, 100);
	fd = mig_set(&self->guest.from.emu.dev, PP);
	expect_still(_metadata, &self->guest, "[B5]");
	close(fd);
}

TEST_F(dma, x4_reset_ends_all)
{
	struct emulated *emu = &self->guest.from.emu;
	static unsigned char before[SIZE];

	work(&self->guest, 100);
	ring_doorbell(emu, 2, 8);
	EXPECT_EQ(0, mig_reset(&emu->dev));
	memcpy(before, self->guest.memory, SIZE);
	usleep(30000);
	EXPECT_EQ(0, memcmp(before, self->guest.memory, SIZE));
	EXPECT_EQ(0, generator_sequence(emu));
	EXPECT_EQ(0, emu_read(emu, QUEUE(2, QUEUE_CTRL)));
}

/* The device moves, with the memory that both see. */
static void move(struct guest *guest, bool precopy)
{
	struct emulated *from = &guest->from.emu, *to = &guest->to.emu;
	struct mig_buf buf = {};
	int fd, ret = 0;

	if (precopy) {
		fd = mig_set(&from->dev, PC);
		ret = mig_read(fd, &buf, MIG_WHOLE);
		mig_set(&from->dev, SC);
	} else {
		fd = mig_set(&from->dev, SC);
	}
	if (!ret || ret == -ENOMSG)
		ret = mig_read(fd, &buf, MIG_WHOLE);
	if (ret)
		mig_die("save: %s", strerror(-ret));
	mig_set(&from->dev, ST);
	close(fd);
	ret = __mig_load(&to->dev, &buf, MIG_WHOLE);
	if (ret)
		mig_die("load: %s", strerror(-ret));
	mig_buf_free(&buf);
}

TEST_F(dma, t9_work_moves_with_the_device)
{
	struct emulated *to = &self->guest.to.emu;
	__u64 last;
	int i;

	work(&self->guest, 200);
	/* The other half of the descriptors comes when it has stopped. */
	mig_set(&self->guest.from.emu.dev, ST);
	ring_doorbell(&self->guest.from.emu, 2, 8);
	move(&self->guest, false);
	last = generator_sequence(&self->guest.from.emu);
	EXPECT_EQ(last, generator_sequence(to));
	expect_ring(_metadata, &self->guest, last);
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(i < 4 ? COPY_DONE : COPY_PENDING, self->guest.ring[i].status)
			TH_LOG("descriptor %d", i);
		/* What is done is not touched again. */
		if (i < 4)
			self->guest.ring[i].status = 99;
	}
	usleep(20000);
	EXPECT_EQ(last, generator_sequence(to));
	mig_set(&to->dev, R);
	EXPECT_TRUE(queue_reaches(to, 2, 8));
	EXPECT_TRUE(generator_passes(to, last + GEN_RING));
	mig_set(&to->dev, ST);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(i < 4 ? 99 : COPY_DONE, self->guest.ring[i].status)
			TH_LOG("descriptor %d", i);
	expect_ring(_metadata, &self->guest, generator_sequence(to));
	mig_set(&to->dev, R);
}

TEST_F(dma_precopy, t9_the_generator_goes_on)
{
	struct emulated *to = &self->guest.to.emu;
	__u64 last;

	work(&self->guest, 100);
	move(&self->guest, true);
	last = generator_sequence(&self->guest.from.emu);
	EXPECT_EQ(last, generator_sequence(to));
	expect_ring(_metadata, &self->guest, last);
	mig_set(&to->dev, R);
	EXPECT_TRUE(generator_passes(to, last + GEN_RING));
	mig_set(&to->dev, ST);
	expect_ring(_metadata, &self->guest, generator_sequence(to));
	mig_set(&to->dev, R);
}

/* All that the device wrote since the last report is in this one, and it stops for the last. */
TEST_F(dma, l15_the_log_has_every_write)
{
	struct emulated *emu = &self->guest.from.emu;
	__u64 bitmap[PAGES / 64], number = 0, last;
	int round;

	ASSERT_EQ(0, log_start(&emu->dev, BASE, SIZE, EMU_PAGE));
	generator_on(emu, AT(GEN_FIRST), GEN_RING, 300, 0);
	for (round = 0; round < 20; round++) {
		__u64 before = generator_sequence(emu), due = 0, n;

		if (round == 19) {
			mig_set(&emu->dev, ST);
			before = generator_sequence(emu);
		}
		memset(bitmap, 0, sizeof(bitmap));
		ASSERT_EQ(0, log_report(&emu->dev, BASE, SIZE, EMU_PAGE, bitmap));
		last = generator_sequence(emu);
		/* Counted before the report and not in the one before: must be here. */
		for (n = number + 1; n <= before; n++)
			due |= 1ULL << (GEN_FIRST + (n - 1) % GEN_RING);
		EXPECT_EQ(due, bitmap[0] & due) TH_LOG("[L15] round %d", round);
		EXPECT_EQ(0, bitmap[0] & ~(((1ULL << GEN_RING) - 1) << GEN_FIRST));
		number = last;
		usleep(3000);
	}
	memset(bitmap, 0, sizeof(bitmap));
	ASSERT_EQ(0, log_report(&emu->dev, BASE, SIZE, EMU_PAGE, bitmap));
	EXPECT_EQ(0, bitmap[0]) TH_LOG("[L11] [B1]");
	EXPECT_EQ(0, log_stop(&emu->dev));
	mig_set(&emu->dev, R);
}

/* Memory in proportion to the ranges, and not more than some MiB: larger pages make up for it. */
TEST_F(dma, l5_a_log_of_everything)
{
	struct emulated *emu = &self->guest.from.emu;
	struct log_range ranges[2] = {
		{ 0, 1ULL << 62 }, { 1ULL << 62, 1ULL << 62 },
	};
	__u64 page_size = EMU_PAGE, bitmap = 0;

	ASSERT_EQ(0, log_start_n(&emu->dev, ranges, 2, &page_size));
	EXPECT_EQ(1ULL << 36, page_size) TH_LOG("[L5] %llu", page_size);
	self->guest.ring[0] = ask(AT(1), 0, 8, TO_MEMORY);
	EXPECT_EQ(COPY_DONE, copy(&self->guest, self->guest.ring[0]));
	ASSERT_EQ(0, log_report(&emu->dev, BASE, SIZE, SIZE, &bitmap));
	EXPECT_EQ(1, bitmap);
	EXPECT_EQ(0, log_stop(&emu->dev));
}

static bool has_p2p_peer(const struct mig_device *dev)
{
	return emu_has_peer(dev) && mig_has_p2p(dev);
}

static bool has_precopy_p2p_peer(const struct mig_device *dev)
{
	return emu_has_peer(dev) && mig_has_precopy_p2p(dev);
}

static const struct mig_need needs[] = {
	{ "dma", emu_has_peer },
	{ "dma_p2p", has_p2p_peer },
	{ "dma_precopy", emu_has_precopy_peer },
	{ "dma_precopy_p2p", has_precopy_p2p_peer },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
