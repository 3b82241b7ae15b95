// SPDX-License-Identifier: GPL-2.0
/*
 * The DMA engine of the emulated device.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine.h"

/* Where engine_write() has its descriptors: no test uses these addresses. */
#define OWN_RING	0x400000000000ULL

/* How often a register is looked at, 1 ms apart, before it is given up. */
#define LOOKS	20000

void queue_on(struct emulated *emu, int n, __u64 ring, __u32 size, __u32 ctrl)
{
	emu_write(emu, QUEUE(n, QUEUE_CTRL), 0);
	emu_write(emu, QUEUE(n, RING_LO), ring);
	emu_write(emu, QUEUE(n, RING_HI), ring >> 32);
	emu_write(emu, QUEUE(n, RING_SIZE), size);
	emu_write(emu, QUEUE(n, QUEUE_CTRL), ctrl | CTRL_ON);
}

/* Waits until so many descriptors are done, or the queue is off. */
bool queue_reaches(struct emulated *emu, int n, __u32 consumer)
{
	int i;

	for (i = 0; i < LOOKS; i++) {
		if (emu_read(emu, QUEUE(n, CONSUMER)) == consumer)
			return true;
		if (!(emu_read(emu, QUEUE(n, QUEUE_CTRL)) & CTRL_ON))
			return false;
		usleep(1000);
	}
	return false;
}

void generator_on(struct emulated *emu, __u64 ring, __u32 pages, __u32 period_us, __u32 ctrl)
{
	emu_write(emu, GEN_ADDRESS_LO, ring);
	emu_write(emu, GEN_ADDRESS_HI, ring >> 32);
	emu_write(emu, GEN_PAGES, pages);
	emu_write(emu, GEN_PERIOD_US, period_us);
	emu_write(emu, GEN_CTRL, ctrl | CTRL_ON);
}

/* Pages written. */
__u64 generator_sequence(struct emulated *emu)
{
	return emu_count(emu, GEN_SEQ_LO);
}

/* Waits until more than so many pages are written. */
bool generator_passes(struct emulated *emu, __u64 number)
{
	int i;

	for (i = 0; i < LOOKS; i++) {
		if (generator_sequence(emu) > number)
			return true;
		usleep(1000);
	}
	return false;
}

/* The number of a page of the generator, or 0 if it is not whole. */
__u64 stamp_of(const void *page)
{
	const __u64 *word = page;
	size_t i;

	for (i = 0; i < EMU_PAGE / sizeof(*word); i += 2)
		if (word[i] != word[0] || word[i + 1] != ~word[0])
			return 0;
	return word[0];
}

/*
 * Has the device, which is RUNNING, write what is at the start of BAR2 to this memory, again and
 * again. 0 or -errno.
 */
int engine_write(struct mig_device *dev, __u64 iova, __u64 length)
{
	struct emulated emu = { .dev = *dev };
	struct vfio_region_info bar2;
	struct descriptor *ring;
	__u32 piece, done = 0;
	int ret;

	ret = mig_region(dev, VFIO_PCI_BAR0_REGION_INDEX, &emu.bar0);
	if (!ret)
		ret = mig_region(dev, VFIO_PCI_BAR2_REGION_INDEX, &bar2);
	if (ret)
		return ret;
	ring = mmap(NULL, EMU_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return -errno;
	ret = mig_map(dev, ring, OWN_RING, EMU_PAGE, true);
	if (ret)
		goto unmap;
	queue_on(&emu, 0, OWN_RING, 1, 0);
	for (; !ret && length; length -= piece, iova += piece) {
		piece = length < ENGINE_COPY ? length : ENGINE_COPY;
		if (piece > bar2.size)
			piece = bar2.size;
		*ring = (struct descriptor){
			.address = iova, .length = piece, .command = TO_MEMORY,
		};
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		emu_write(&emu, QUEUE(0, PRODUCER), ++done);
		if (!queue_reaches(&emu, 0, done))
			ret = -ETIME;
		else if (ring->status != COPY_DONE)
			ret = -EFAULT;
	}
	emu_write(&emu, QUEUE(0, QUEUE_CTRL), 0);
	mig_unmap(dev, OWN_RING, EMU_PAGE);
unmap:
	munmap(ring, EMU_PAGE);
	return ret;
}
