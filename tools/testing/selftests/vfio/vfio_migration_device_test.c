// SPDX-License-Identifier: GPL-2.0
/*
 * The emulated device as a device: what a guest sees of it, and what it does in which state.
 */
#include <endian.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "lib/emulated.h"

FIXTURE(device) {
	struct emulated emu;
};

FIXTURE_SETUP(device)
{
	ASSERT_EQ(0, emu_open(&self->emu, mig_path()));
}

FIXTURE_TEARDOWN(device)
{
	EXPECT_EQ(0, mig_reset(&self->emu.dev));
	emu_close(&self->emu);
}

/* Ticks that may be awaited within a second on the slowest machine. */
static bool ticks_go_on(struct emulated *emu)
{
	__u64 before = emu_ticks(emu);
	int i;

	for (i = 0; i < 200; i++) {
		if (emu_ticks(emu) > before + 1)
			return true;
		usleep(10000);
	}
	return false;
}

static void tick(struct emulated *emu, __u32 period_us, __u32 ctrl)
{
	emu_write(emu, EMU_TICK_PERIOD_US, period_us);
	emu_write(emu, EMU_TICK_CTRL, ctrl);
}

TEST_F(device, pci_shape)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_irq_info irq = { .argsz = sizeof(irq), .index = VFIO_PCI_MSIX_IRQ_INDEX };
	struct vfio_region_info region;
	struct emulated *emu = &self->emu;
	unsigned char config[256];
	__u32 word, i;
	int cap;

	ASSERT_EQ(0, mig_ioctl(emu->dev.fd, VFIO_DEVICE_GET_INFO, &info));
	EXPECT_EQ(VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET, info.flags);
	EXPECT_LE(VFIO_PCI_CONFIG_REGION_INDEX + 1, info.num_regions);
	EXPECT_LE(VFIO_PCI_MSIX_IRQ_INDEX + 1, info.num_irqs);
	for (i = 0; i < VFIO_PCI_CONFIG_REGION_INDEX; i++) {
		ASSERT_EQ(0, mig_region(&emu->dev, i, &region)) TH_LOG("region %u", i);
		if (i == VFIO_PCI_BAR0_REGION_INDEX) {
			EXPECT_EQ(4096, region.size);
			EXPECT_EQ(0, region.flags & VFIO_REGION_INFO_FLAG_MMAP);
		} else if (i == VFIO_PCI_BAR2_REGION_INDEX) {
			EXPECT_LE(EMU_PAGE, region.size);
			EXPECT_EQ(0, region.size & (region.size - 1));
			EXPECT_NE(0, region.flags & VFIO_REGION_INFO_FLAG_MMAP);
		} else {
			EXPECT_EQ(0, region.size) TH_LOG("region %u", i);
		}
	}
	EXPECT_EQ(256, emu->config.size);
	ASSERT_EQ(0, mig_ioctl(emu->dev.fd, VFIO_DEVICE_GET_IRQ_INFO, &irq));
	EXPECT_EQ(EMU_VECTORS, irq.count);

	emu_config(emu, config);
	memcpy(&word, config, 4);
	EXPECT_EQ(EMU_VENDOR_DEVICE, word);
	EXPECT_EQ(0, config[0x3d]) TH_LOG("interrupt pin");
	memcpy(&word, config + 0x18, 4);
	EXPECT_EQ(0xc, word & 0xf) TH_LOG("BAR2 is 64-bit and prefetchable");
	for (cap = config[0x34]; cap && config[cap] != 0x11; cap = config[cap + 1])
		;
	ASSERT_NE(0, cap) TH_LOG("no MSI-X capability");
	EXPECT_EQ(EMU_VECTORS - 1, config[cap + 2]);
	memcpy(&word, config + cap + 4, 4);
	EXPECT_EQ(0x800, word) TH_LOG("MSI-X table");
	memcpy(&word, config + cap + 8, 4);
	EXPECT_EQ(0xc00, word) TH_LOG("MSI-X pending bits");
}

TEST_F(device, registers)
{
	struct emulated *emu = &self->emu;
	__u64 size;

	EXPECT_EQ(EMU_ID_VALUE, emu_read(emu, EMU_ID));
	EXPECT_EQ(2, emu_read(emu, EMU_VERSION));
	size = emu_read(emu, EMU_STATE_SIZE_LO) | (__u64)emu_read(emu, EMU_STATE_SIZE_HI) << 32;
	EXPECT_EQ(emu->size, size);
	emu_write(emu, EMU_SCRATCH, 0xdeadbeef);
	EXPECT_EQ(0xdeadbeef, emu_read(emu, EMU_SCRATCH));
	emu_write(emu, EMU_ID, 0);
	EXPECT_EQ(EMU_ID_VALUE, emu_read(emu, EMU_ID)) TH_LOG("ID is read-only");
	EXPECT_EQ(10000, emu_read(emu, EMU_TICK_PERIOD_US)) TH_LOG("the default");
	emu_write(emu, EMU_TICK_PERIOD_US, 99);
	EXPECT_EQ(10000, emu_read(emu, EMU_TICK_PERIOD_US)) TH_LOG("too short");
	emu_write(emu, EMU_TICK_PERIOD_US, 10000001);
	EXPECT_EQ(10000, emu_read(emu, EMU_TICK_PERIOD_US)) TH_LOG("too long");
	emu_write(emu, EMU_TICK_PERIOD_US, 100);
	EXPECT_EQ(100, emu_read(emu, EMU_TICK_PERIOD_US));
	EXPECT_EQ(0, emu_ticks(emu));
	ASSERT_EQ(0, mig_reset(&emu->dev));
	EXPECT_EQ(0, emu_read(emu, EMU_SCRATCH)) TH_LOG("reset");
	EXPECT_EQ(10000, emu_read(emu, EMU_TICK_PERIOD_US)) TH_LOG("reset");
}

TEST_F(device, b6_status_in_every_state)
{
	struct emulated *emu = &self->emu;
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(emu->dev.flags, state))
			continue;
		fd = mig_set(&emu->dev, state);
		EXPECT_EQ(state == R || state == RP || state == PC || state == PP,
			  emu_read(emu, EMU_STATUS) & 1)
			TH_LOG("[B1] [B4] [B6] %s", mig_state_name(state));
		EXPECT_EQ(0, mig_reset(&emu->dev));
		EXPECT_EQ(1, emu_read(emu, EMU_STATUS) & 1) TH_LOG("[X1]");
		if (fd >= 0)
			close(fd);
	}
}

TEST_F(device, memory_by_mapping_and_by_system_call)
{
	struct emulated *emu = &self->emu;
	off_t base = emu->bar2.offset;
	unsigned char part[300];
	size_t last = emu->size - sizeof(part);
	size_t at[] = { 0, 1, last < 4090 ? last / 2 : 4090, emu->size / 2 - 7, last };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		memset(part, 0x11 * (i + 1), sizeof(part));
		EXPECT_EQ(sizeof(part), pwrite(emu->dev.fd, part, sizeof(part), base + at[i]));
		EXPECT_EQ(0, memcmp(part, emu->mem + at[i], sizeof(part))) TH_LOG("mapped");
		memset(emu->mem + at[i], 0x80 + i, sizeof(part));
		EXPECT_EQ(sizeof(part), pread(emu->dev.fd, part, sizeof(part), base + at[i]));
		EXPECT_EQ(0, memcmp(part, emu->mem + at[i], sizeof(part))) TH_LOG("read");
	}
	/* Reset clears it, and an old mapping shows what is there now. */
	ASSERT_EQ(0, mig_reset(&emu->dev));
	for (i = 0; i < emu->size; i++)
		if (emu->mem[i])
			break;
	EXPECT_EQ(emu->size, i) TH_LOG("a byte survived the reset");
	emu->mem[5] = 55;
	EXPECT_EQ(1, pread(emu->dev.fd, part, 1, base + 5));
	EXPECT_EQ(55, part[0]) TH_LOG("the mapping is not that of the device after a reset");
}

TEST_F(device, b3_any_access_is_harmless)
{
	struct emulated *emu = &self->emu;
	uint64_t seed = 33;
	unsigned char part[5000];
	int state, fd, i;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(emu->dev.flags, state))
			continue;
		fd = mig_set(&emu->dev, state);
		for (i = 0; i < 1000; i++) {
			struct vfio_region_info region;
			size_t len = 1 + mig_random(&seed) % (i % 8 ? 8 : sizeof(part));
			ssize_t done;
			__u64 at;

			ASSERT_EQ(0, mig_region(&emu->dev, mig_random(&seed) % 9, &region));
			at = region.offset + mig_random(&seed) % (region.size + 16);
			done = i % 2 ? pread(emu->dev.fd, part, len, at) :
				       pwrite(emu->dev.fd, part, len, at);
			EXPECT_GE((ssize_t)len, done) TH_LOG("[B3] more than was asked");
		}
		EXPECT_GE(0, pread(emu->dev.fd, part, 8, 0x7ffffffffffffff0));
		EXPECT_GE(0, pread(emu->dev.fd, part, 8, emu->bar2.offset + emu->size))
			TH_LOG("[B3] behind the memory");
		EXPECT_EQ(0, mig_reset(&emu->dev)) TH_LOG("[B3] %s", mig_state_name(state));
		if (fd >= 0)
			close(fd);
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, EMU_PAGE, PROT_READ, MAP_SHARED, emu->dev.fd,
				   emu->bar0.offset));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 2 * emu->size, PROT_READ, MAP_SHARED, emu->dev.fd,
				   emu->bar2.offset));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, EMU_PAGE, PROT_READ, MAP_SHARED, emu->dev.fd,
				   emu->bar2.offset + emu->size));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, EMU_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
				   emu->dev.fd, emu->bar0.offset));
}

TEST_F(device, interrupts)
{
	struct emulated *emu = &self->emu;
	int fd[EMU_VECTORS], i, k;
	__u32 raised = 0;

	emu_write(emu, EMU_IRQ_RAISE, 0);
	ASSERT_EQ(0, mig_eventfds(&emu->dev, fd, EMU_VECTORS));
	raised = emu_read(emu, EMU_IRQ_COUNT);
	for (i = 0; i < EMU_VECTORS; i++) {
		for (k = 0; k <= i; k++)
			emu_write(emu, EMU_IRQ_RAISE, i);
		raised += i + 1;
		for (k = 0; k < EMU_VECTORS; k++)
			EXPECT_EQ(k == i ? i + 1 : 0, emu_events(fd[k])) TH_LOG("vector %d", k);
		EXPECT_EQ(raised, emu_read(emu, EMU_IRQ_COUNT));
	}
	emu_write(emu, EMU_IRQ_RAISE, EMU_VECTORS);
	emu_write(emu, EMU_IRQ_RAISE, ~0U);
	for (k = 0; k < EMU_VECTORS; k++)
		EXPECT_EQ(0, emu_events(fd[k])) TH_LOG("no such vector");
	EXPECT_EQ(raised, emu_read(emu, EMU_IRQ_COUNT));
	ASSERT_EQ(0, mig_eventfds(&emu->dev, NULL, 0));
	emu_write(emu, EMU_IRQ_RAISE, 1);
	EXPECT_EQ(0, emu_events(fd[1])) TH_LOG("disconnected");
}

TEST_F(device, ticks)
{
	struct emulated *emu = &self->emu;
	int fd[EMU_VECTORS];
	__u64 last, seq, stamp[2];

	ASSERT_EQ(0, mig_eventfds(&emu->dev, fd, EMU_VECTORS));
	tick(emu, 1000, 1);
	EXPECT_TRUE(ticks_go_on(emu));
	EXPECT_EQ(0, emu_events(fd[0])) TH_LOG("an interrupt nobody asked for");
	tick(emu, 1000, 3);
	EXPECT_TRUE(ticks_go_on(emu));
	EXPECT_LT(0, emu_events(fd[0])) TH_LOG("no interrupt");
	tick(emu, 1000, 0);
	usleep(5000);
	last = emu_ticks(emu);
	usleep(50000);
	EXPECT_EQ(last, emu_ticks(emu)) TH_LOG("it was switched off");
	for (seq = last; seq && seq + emu->size / EMU_PAGE > last; seq--) {
		memcpy(stamp, emu->mem + seq % (emu->size / EMU_PAGE) * EMU_PAGE, 16);
		EXPECT_EQ(seq, le64toh(stamp[0])) TH_LOG("tick %llu", seq);
		EXPECT_EQ(~seq, le64toh(stamp[1])) TH_LOG("tick %llu", seq);
	}
}

/* [B1] Neither registers, memory nor interrupts move in a stopped state. */
static void expect_frozen(struct __test_metadata *_metadata, struct emulated *emu,
			  const int *fd, int state)
{
	unsigned char *copy = malloc(emu->size);
	__u64 ticks = emu_ticks(emu);
	__u32 count = emu_read(emu, EMU_IRQ_COUNT);

	memcpy(copy, emu->mem, emu->size);
	emu_events(fd[0]);
	usleep(100000);
	emu_write(emu, EMU_IRQ_RAISE, 0);
	EXPECT_EQ(ticks, emu_ticks(emu)) TH_LOG("[B1] ticks in %s", mig_state_name(state));
	EXPECT_EQ(count, emu_read(emu, EMU_IRQ_COUNT)) TH_LOG("[B1]");
	EXPECT_EQ(0, memcmp(copy, emu->mem, emu->size))
		TH_LOG("[B1] memory changed in %s", mig_state_name(state));
	EXPECT_EQ(0, emu_events(fd[0])) TH_LOG("[B1] interrupt in %s", mig_state_name(state));
	free(copy);
}

TEST_F(device, b1_b4_stop_freezes)
{
	static const int stopped[] = { ST, SC, RE };
	struct emulated *emu = &self->emu;
	int vector[EMU_VECTORS], fd;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(stopped); i++) {
		ASSERT_EQ(0, mig_eventfds(&emu->dev, vector, EMU_VECTORS));
		tick(emu, 500, 3);
		EXPECT_TRUE(ticks_go_on(emu));
		fd = mig_set(&emu->dev, stopped[i]);
		expect_frozen(_metadata, emu, vector, stopped[i]);
		if (stopped[i] != RE) {
			mig_set(&emu->dev, R);
			EXPECT_TRUE(ticks_go_on(emu)) TH_LOG("[B6] it stays stopped");
			EXPECT_LT(0, emu_events(vector[0])) TH_LOG("[B6]");
		}
		EXPECT_EQ(0, mig_reset(&emu->dev));
		if (fd >= 0)
			close(fd);
	}
}

TEST_F(device, b5_b6_b7_runs_in_running_states)
{
	struct emulated *emu = &self->emu;
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(emu->dev.flags, state))
			continue;
		if (state != R && state != RP && state != PC && state != PP)
			continue;
		tick(emu, 1000, 1);
		fd = mig_set(&emu->dev, state);
		EXPECT_TRUE(ticks_go_on(emu)) TH_LOG("[B5] [B6] %s", mig_state_name(state));
		EXPECT_EQ(0, mig_reset(&emu->dev));
		if (fd >= 0)
			close(fd);
	}
}

/* A question that is refused is no order: the device does not stop for it. */
TEST_F(device, s12_e17_runs_on_after_a_refused_set)
{
	static const __u32 value[] = { ERR, 8, 99, ~0U };
	struct emulated *emu = &self->emu;
	int state, none;
	size_t i;

	tick(emu, 1000, 1);
	for (i = 0; i < ARRAY_SIZE(value); i++) {
		EXPECT_EQ(-EINVAL, __mig_set(&emu->dev, value[i], &none)) TH_LOG("[S11] [S13]");
		EXPECT_TRUE(ticks_go_on(emu)) TH_LOG("[S12] stopped by a SET of %#x", value[i]);
	}
	for (state = 0; state < MIG_STATES; state++) {
		if (mig_supports(emu->dev.flags, state))
			continue;
		EXPECT_EQ(-EINVAL, __mig_set(&emu->dev, state, &none)) TH_LOG("[S12]");
		EXPECT_TRUE(ticks_go_on(emu)) TH_LOG("[S12] stopped by a SET of %d", state);
	}
}

TEST_F(device, b2_config_and_interrupts_in_stop)
{
	struct emulated *emu = &self->emu;
	unsigned char config[256];
	__u16 command = 0x0006;
	int fd[EMU_VECTORS];

	mig_set(&emu->dev, ST);
	EXPECT_EQ(2, pwrite(emu->dev.fd, &command, 2, emu->config.offset + 4)) TH_LOG("[B2]");
	emu_config(emu, config);
	EXPECT_EQ(6, config[4]) TH_LOG("[B2]");
	EXPECT_EQ(0, mig_eventfds(&emu->dev, fd, EMU_VECTORS)) TH_LOG("[B2]");
	emu_write(emu, EMU_SCRATCH, 77);
	EXPECT_EQ(77, emu_read(emu, EMU_SCRATCH)) TH_LOG("[B2] [B3]");
	mig_set(&emu->dev, R);
	emu_config(emu, config);
	EXPECT_EQ(6, config[4]) TH_LOG("[B2]");
	emu_write(emu, EMU_IRQ_RAISE, 3);
	EXPECT_EQ(1, emu_events(fd[3])) TH_LOG("[B2] connected in STOP, of no use in RUNNING");
}

static const struct mig_need needs[] = {
	{ "device", emu_is },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
