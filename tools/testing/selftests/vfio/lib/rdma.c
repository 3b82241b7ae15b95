// SPDX-License-Identifier: GPL-2.0
/*
 * RDMA within a function. Formats of queues are the manual's, by byte.
 */
#include <stdbool.h>
#include <string.h>

#include "rdma.h"

/* Entries, as powers of two. All fit into the pages that they have. */
enum { LOG_EQ = 6, LOG_CQ = 6, LOG_RQ = 4, LOG_SQ = 6 };

enum { RQ_BYTES = 16 << LOG_RQ, UNIT = 64 };

/* Doorbells in a UAR. */
enum { UAR_CQ_ARM = 0x20, UAR_EQ_ARM = 0x40, UAR_SQ = 0x800 };

/* Doorbell records, in their page. */
enum { DB_CQ = 0x0, DB_QP = 0x40, DB_SIZE = 0x40 };

/* An event, a completion. */
enum {
	EQE_TYPE = 0x01, EQE_CQN = 0x38, EQE_OWNER = 0x3f,
	CQE_IMM = 0x24, CQE_BYTES = 0x2c, CQE_SYNDROME = 0x37, CQE_QPN = 0x38, CQE_COUNTER = 0x3c,
	CQE_OP_OWN = 0x3f,
	ENTRY = 64,
};

enum { CQE_REQ = 0, CQE_RESP_SEND = 2, CQE_RESP_SEND_IMM = 3, CQE_INVALID = 15 };
enum { OP_RDMA_WRITE = 0x08, OP_SEND = 0x0a, OP_SEND_IMM = 0x0b };
enum { STATE_RTS = 3, CTRL_CQ_UPDATE = 2 << 2, ANY_QP = 0xffffff };

static unsigned char *at(struct rdma *work, size_t offset)
{
	return work->vf->mem + offset;
}

/* The same for the function. */
static __u64 iova(struct rdma *work, size_t offset)
{
	return work->vf->iova + offset;
}

static bool is_send(__u64 number)
{
	return number & 1;
}

static __u64 pages_of(__u64 number)
{
	return 1 + number / 2 % (is_send(number) ? RDMA_SEND_PAGES : RDMA_WRITE_PAGES);
}

static __u32 opcode_of(__u64 number)
{
	if (!is_send(number))
		return OP_RDMA_WRITE;
	return number & 2 ? OP_SEND_IMM : OP_SEND;
}

static size_t source_of(__u64 number)
{
	return RDMA_SOURCE + number % (2 * RDMA_DEPTH) * RDMA_WRITE_PAGES * MLX5_PAGE;
}

static size_t target_of(__u64 number)
{
	__u64 turn = number / 2;

	if (is_send(number))
		return RDMA_SENT + turn % RDMA_SENDS * RDMA_SEND_PAGES * MLX5_PAGE;
	return RDMA_WRITTEN + turn % RDMA_WRITES * RDMA_WRITE_PAGES * MLX5_PAGE;
}

/* What every word of a page is. */
static __u64 word_of(__u64 number, size_t page)
{
	return (number + 1) << 8 | page;
}

static void fill(struct rdma *work, __u64 number)
{
	__u64 *word = (__u64 *)at(work, source_of(number));
	size_t page, i;

	for (page = 0; page < pages_of(number); page++)
		for (i = 0; i < MLX5_PAGE / sizeof(*word); i++)
			*word++ = word_of(number, page);
}

static void check(struct rdma *work, __u64 number)
{
	__u64 *word = (__u64 *)at(work, target_of(number));
	size_t page, i;

	for (page = 0; page < pages_of(number); page++)
		for (i = 0; i < MLX5_PAGE / sizeof(*word); i++, word++)
			if (*word != word_of(number, page))
				mlx5_die("work %llu, page %zu, word %zu: %#llx, not %#llx", number,
					 page, i, *word, word_of(number, page));
}

/* Objects */

static void put_page(struct rdma *work, unsigned char *pas, size_t number, size_t offset)
{
	mlx5_put64(pas + 8 * number, iova(work, offset));
}

static __u32 create_eq(struct rdma *work)
{
	unsigned char in[ifc_size(create_eq_in) + 8] = {}, out[16] = {};
	size_t i;

	ifc_set(create_eq_in, in, opcode, MLX5_CMD_OP_CREATE_EQ);
	ifc_set(create_eq_in, in, eq_context_entry.log_eq_size, LOG_EQ);
	ifc_set(create_eq_in, in, eq_context_entry.uar_page, work->uar);
	ifc_set(create_eq_in, in, eq_context_entry.intr, 0);
	put_page(work, ifc_at(create_eq_in, in, pas), 0, RDMA_EQ);
	for (i = 0; i < 1 << LOG_EQ; i++)
		at(work, RDMA_EQ)[i * ENTRY + EQE_OWNER] = 1;
	mlx5_exec(work->vf, in, sizeof(in), out, sizeof(out));
	return ifc_get(create_eq_out, out, eq_number);
}

static __u32 create_cq(struct rdma *work)
{
	unsigned char in[ifc_size(create_cq_in) + 8] = {}, out[16] = {};
	size_t i;

	ifc_set(create_cq_in, in, opcode, MLX5_CMD_OP_CREATE_CQ);
	ifc_set(create_cq_in, in, cq_context.log_cq_size, LOG_CQ);
	ifc_set(create_cq_in, in, cq_context.uar_page, work->uar);
	ifc_set(create_cq_in, in, cq_context.c_eqn_or_apu_element, work->eqn);
	ifc_set(create_cq_in, in, cq_context.dbr_addr, iova(work, RDMA_DOORBELLS + DB_CQ));
	put_page(work, ifc_at(create_cq_in, in, pas), 0, RDMA_CQ);
	for (i = 0; i < 1 << LOG_CQ; i++)
		at(work, RDMA_CQ)[i * ENTRY + CQE_OP_OWN] = CQE_INVALID << 4 | 1;
	mlx5_exec(work->vf, in, sizeof(in), out, sizeof(out));
	return ifc_get(create_cq_out, out, cqn);
}

/* A key for these bytes of the memory, which are their own addresses. */
static __u32 create_mkey(struct rdma *work, size_t start, size_t end, bool writable)
{
	size_t pages = (end - start) / MLX5_PAGE, i;
	size_t inlen = ifc_size(create_mkey_in) + 8 * ((pages + 1) & ~1UL);
	static unsigned char in[ifc_size(create_mkey_in) + 8 * (RDMA_SIZE / MLX5_PAGE + 1)];
	unsigned char out[16] = {};

	memset(in, 0, sizeof(in));
	ifc_set(create_mkey_in, in, opcode, MLX5_CMD_OP_CREATE_MKEY);
	ifc_set(create_mkey_in, in, translations_octword_actual_size, (pages + 1) / 2);
	ifc_set(create_mkey_in, in, memory_key_mkey_entry.lr, !writable);
	ifc_set(create_mkey_in, in, memory_key_mkey_entry.lw, writable);
	ifc_set(create_mkey_in, in, memory_key_mkey_entry.rw, writable);
	ifc_set(create_mkey_in, in, memory_key_mkey_entry.access_mode_1_0,
		MLX5_MKC_ACCESS_MODE_MTT);
	ifc_set(create_mkey_in, in, memory_key_mkey_entry.qpn, ANY_QP);
	ifc_set(create_mkey_in, in, memory_key_mkey_entry.mkey_7_0, 0x42);
	ifc_set(create_mkey_in, in, memory_key_mkey_entry.pd, work->pd);
	ifc_set(create_mkey_in, in, memory_key_mkey_entry.start_addr, iova(work, start));
	ifc_set(create_mkey_in, in, memory_key_mkey_entry.len, end - start);
	ifc_set(create_mkey_in, in, memory_key_mkey_entry.translations_octword_size,
		(pages + 1) / 2);
	ifc_set(create_mkey_in, in, memory_key_mkey_entry.log_page_size, 12);
	for (i = 0; i < pages; i++)
		put_page(work, ifc_at(create_mkey_in, in, klm_pas_mtt), i, start + i * MLX5_PAGE);
	mlx5_exec(work->vf, in, inlen, out, sizeof(out));
	return ifc_get(create_mkey_out, out, mkey_index) << 8 | 0x42;
}

static size_t queue_of(int end)
{
	return RDMA_QUEUES + end * 2 * MLX5_PAGE;
}

static unsigned char *doorbell_of(struct rdma *work, int end)
{
	return at(work, RDMA_DOORBELLS + DB_QP + end * DB_SIZE);
}

static __u32 create_qp(struct rdma *work, int end)
{
	unsigned char in[ifc_size(create_qp_in) + 16] = {}, out[16] = {};
	__u64 doorbell = iova(work, RDMA_DOORBELLS + DB_QP + end * DB_SIZE);

	ifc_set(create_qp_in, in, opcode, MLX5_CMD_OP_CREATE_QP);
	ifc_set(create_qp_in, in, qpc.pd, work->pd);
	ifc_set(create_qp_in, in, qpc.log_rq_size, LOG_RQ);
	ifc_set(create_qp_in, in, qpc.log_sq_size, LOG_SQ);
	ifc_set(create_qp_in, in, qpc.uar_page, work->uar);
	ifc_set(create_qp_in, in, qpc.cqn_snd, work->cqn);
	ifc_set(create_qp_in, in, qpc.cqn_rcv, work->cqn);
	ifc_set(create_qp_in, in, qpc.dbr_addr, doorbell);
	put_page(work, ifc_at(create_qp_in, in, pas), 0, queue_of(end));
	put_page(work, ifc_at(create_qp_in, in, pas), 1, queue_of(end) + MLX5_PAGE);
	mlx5_exec(work->vf, in, sizeof(in), out, sizeof(out));
	return ifc_get(create_qp_out, out, qpn);
}

static void connect_qp(struct rdma *work, int end)
{
	static const __u16 step[] = {
		MLX5_CMD_OP_RST2INIT_QP, MLX5_CMD_OP_INIT2RTR_QP, MLX5_CMD_OP_RTR2RTS_QP,
	};
	unsigned char in[ifc_size(init2rtr_qp_in)], out[16];
	size_t i;

	for (i = 0; i < sizeof(step) / sizeof(*step); i++) {
		memset(in, 0, sizeof(in));
		ifc_set(init2rtr_qp_in, in, opcode, step[i]);
		ifc_set(init2rtr_qp_in, in, qpn, work->qpn[end]);
		ifc_set(init2rtr_qp_in, in, qpc.rwe, 1);
		ifc_set(init2rtr_qp_in, in, qpc.remote_qpn, work->qpn[!end]);
		ifc_set(init2rtr_qp_in, in, qpc.rnr_retry, 7);
		mlx5_exec(work->vf, in, sizeof(in), out, sizeof(out));
	}
}

static void arm_eq(struct rdma *work)
{
	mlx5_write(work->vf, work->uar * MLX5_PAGE + UAR_EQ_ARM,
		   work->eqn << 24 | (work->eq_ci & 0xffffff));
}

void rdma_setup(struct rdma *work, struct mlx5 *vf)
{
	int end;

	*work = (struct rdma){ .vf = vf };
	mlx5_start(vf);
	work->uar = mlx5_simple(vf, MLX5_CMD_OP_ALLOC_UAR, 0, 0);
	work->pd = mlx5_simple(vf, MLX5_CMD_OP_ALLOC_PD, 0, 0);
	work->eqn = create_eq(work);
	arm_eq(work);
	work->cqn = create_cq(work);
	work->source_key = create_mkey(work, RDMA_SOURCE, RDMA_DEVICE, false);
	work->target_key = create_mkey(work, RDMA_WRITTEN, RDMA_SIZE, true);
	for (end = 0; end < 2; end++)
		work->qpn[end] = create_qp(work, end);
	for (end = 0; end < 2; end++)
		connect_qp(work, end);
}

void rdma_teardown(struct rdma *work)
{
	struct mlx5 *vf = work->vf;
	int end;

	for (end = 0; end < 2; end++) {
		mlx5_simple(vf, MLX5_CMD_OP_2RST_QP, 0, work->qpn[end]);
		mlx5_simple(vf, MLX5_CMD_OP_DESTROY_QP, 0, work->qpn[end]);
	}
	mlx5_simple(vf, MLX5_CMD_OP_DESTROY_MKEY, 0, work->source_key >> 8);
	mlx5_simple(vf, MLX5_CMD_OP_DESTROY_MKEY, 0, work->target_key >> 8);
	mlx5_simple(vf, MLX5_CMD_OP_DESTROY_CQ, 0, work->cqn);
	mlx5_simple(vf, MLX5_CMD_OP_DESTROY_EQ, 0, work->eqn);
	mlx5_simple(vf, MLX5_CMD_OP_DEALLOC_PD, 0, work->pd);
	mlx5_simple(vf, MLX5_CMD_OP_DEALLOC_UAR, 0, work->uar);
	mlx5_finish(vf);
}

/* Work */

static void put_segment(struct rdma *work, unsigned char *place, __u32 length, __u32 key,
			size_t offset)
{
	mlx5_put32(place, length);
	mlx5_put32(place + 4, key);
	mlx5_put64(place + 8, iova(work, offset));
}

static void post_receives(struct rdma *work)
{
	for (; work->receives < work->received + RDMA_SENDS; work->receives++) {
		size_t slot = work->receives % (1 << LOG_RQ);

		put_segment(work, at(work, queue_of(1) + 16 * slot),
			    RDMA_SEND_PAGES * MLX5_PAGE, work->target_key,
			    target_of(2 * work->receives + 1));
	}
	mlx5_put32(doorbell_of(work, 1), work->receives & 0xffff);
}

/* How many pieces later comes the one that goes to the same place? */
static __u64 turn_of(__u64 number)
{
	return 2 * (is_send(number) ? RDMA_SENDS : RDMA_WRITES);
}

static void post_one(struct rdma *work)
{
	__u64 number = work->posted++;
	size_t slot = number % (1 << LOG_SQ), length = pages_of(number) * MLX5_PAGE;
	unsigned char *entry = at(work, queue_of(0) + RQ_BYTES + slot * UNIT), *data = entry + 16;

	if (number >= turn_of(number))
		check(work, number - turn_of(number));
	fill(work, number);
	memset(entry, 0, UNIT);
	if (!is_send(number)) {
		mlx5_put64(data, iova(work, target_of(number)));
		mlx5_put32(data + 8, work->target_key);
		data += 16;
	}
	put_segment(work, data, length, work->source_key, source_of(number));
	mlx5_put32(entry, (number & 0xffff) << 8 | opcode_of(number));
	mlx5_put32(entry + 4, work->qpn[0] << 8 | (data + 16 - entry) / 16);
	mlx5_put32(entry + 8, CTRL_CQ_UPDATE);
	mlx5_put32(entry + 12, number);
	mlx5_put32(doorbell_of(work, 0) + 4, work->posted & 0xffff);
	mlx5_write64(work->vf, work->uar * MLX5_PAGE + UAR_SQ, mlx5_get32(entry),
		     mlx5_get32(entry + 4));
}

void rdma_post(struct rdma *work)
{
	post_receives(work);
	while (work->posted < work->done + RDMA_DEPTH)
		post_one(work);
}

static void request_done(struct rdma *work, __u32 counter)
{
	__u64 number = work->done;

	if (number == work->posted || counter != (number & 0xffff))
		mlx5_die("the completion of entry %u, not of work %llu of %llu", counter, number,
			 work->posted);
	if (!is_send(number))
		check(work, number);
	else if (work->received != number / 2 + 1)
		mlx5_die("work %llu is done before it was received", number);
	work->done++;
}

static void receive_done(struct rdma *work, const unsigned char *cqe, unsigned int kind)
{
	__u64 number = 2 * work->received + 1;
	__u32 counter = mlx5_get32(cqe + CQE_COUNTER) >> 16, bytes = mlx5_get32(cqe + CQE_BYTES);
	bool imm = opcode_of(number) == OP_SEND_IMM;

	if (number >= work->posted || counter != (work->received & 0xffff))
		mlx5_die("receive %u is done, not %llu", counter, work->received);
	if (bytes != pages_of(number) * MLX5_PAGE ||
	    kind != (imm ? CQE_RESP_SEND_IMM : CQE_RESP_SEND) ||
	    (imm && mlx5_get32(cqe + CQE_IMM) != (__u32)number))
		mlx5_die("work %llu came as %u bytes, kind %u, immediate %u", number, bytes, kind,
			 mlx5_get32(cqe + CQE_IMM));
	check(work, number);
	work->received++;
}

size_t rdma_poll(struct rdma *work)
{
	size_t count = 0;

	for (;; count++) {
		unsigned char *cqe = at(work, RDMA_CQ) + work->cq_ci % (1 << LOG_CQ) * ENTRY;
		unsigned int own = __atomic_load_n(cqe + CQE_OP_OWN, __ATOMIC_ACQUIRE);
		unsigned int kind = own >> 4;
		__u32 qpn;

		if (kind == CQE_INVALID || (own & 1) != (work->cq_ci >> LOG_CQ & 1))
			return count;
		qpn = mlx5_get32(cqe + CQE_QPN) & 0xffffff;
		if (kind == CQE_REQ && qpn == work->qpn[0])
			request_done(work, mlx5_get32(cqe + CQE_COUNTER) >> 16);
		else if ((kind == CQE_RESP_SEND || kind == CQE_RESP_SEND_IMM) &&
			 qpn == work->qpn[1])
			receive_done(work, cqe, kind);
		else
			mlx5_die("a completion of kind %u, QP %u, syndrome %#x", kind, qpn,
				 cqe[CQE_SYNDROME]);
		work->cq_ci++;
		mlx5_put32(at(work, RDMA_DOORBELLS + DB_CQ), work->cq_ci & 0xffffff);
	}
}

size_t rdma_events(struct rdma *work)
{
	size_t count;

	for (count = 0;; count++, work->eq_ci++) {
		unsigned char *eqe = at(work, RDMA_EQ) + work->eq_ci % (1 << LOG_EQ) * ENTRY;
		unsigned char own = __atomic_load_n(eqe + EQE_OWNER, __ATOMIC_ACQUIRE);

		if ((own & 1) != (work->eq_ci >> LOG_EQ & 1))
			break;
		if (eqe[EQE_TYPE] || (mlx5_get32(eqe + EQE_CQN) & 0xffffff) != work->cqn)
			mlx5_die("an event of type %#x", eqe[EQE_TYPE]);
	}
	arm_eq(work);
	return count;
}

void rdma_arm(struct rdma *work)
{
	mlx5_put32(at(work, RDMA_DOORBELLS + DB_CQ + 4), work->cq_ci & 0xffffff);
	mlx5_write64(work->vf, work->uar * MLX5_PAGE + UAR_CQ_ARM, work->cq_ci & 0xffffff,
		     work->cqn);
}

void rdma_check_memory(struct rdma *work)
{
	__u64 number;

	if (work->received != work->done / 2)
		mlx5_die("%llu messages came, not %llu", work->received, work->done / 2);
	for (number = work->done; number-- && work->done - number <= 2 * RDMA_WRITES;)
		if (work->done <= number + turn_of(number))
			check(work, number);
}

void rdma_check_objects(struct rdma *work)
{
	unsigned char in[16], out[ifc_size(query_qp_out)];
	__u32 pd;
	int end;

	for (end = 0; end < 2; end++) {
		memset(in, 0, sizeof(in));
		ifc_set(query_qp_in, in, opcode, MLX5_CMD_OP_QUERY_QP);
		ifc_set(query_qp_in, in, qpn, work->qpn[end]);
		mlx5_exec(work->vf, in, sizeof(in), out, sizeof(out));
		if (ifc_get(query_qp_out, out, qpc.state) != STATE_RTS ||
		    ifc_get(query_qp_out, out, qpc.remote_qpn) != work->qpn[!end] ||
		    ifc_get(query_qp_out, out, qpc.cqn_snd) != work->cqn ||
		    ifc_get(query_qp_out, out, qpc.pd) != work->pd)
			mlx5_die("QP %u is not what it was", work->qpn[end]);
	}
	pd = mlx5_simple(work->vf, MLX5_CMD_OP_ALLOC_PD, 0, 0);
	if (pd == work->pd)
		mlx5_die("protection domain %u is given twice", pd);
	mlx5_simple(work->vf, MLX5_CMD_OP_DEALLOC_PD, 0, pd);
}
