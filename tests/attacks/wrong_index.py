"""A job that reaches the store writes an index that gives one image another image's files: Match, measured."""
# Security issue, item 9: the indexes of layers and blocks, which conversions believed.

import glob
import os
import struct

import lib

MASK = 0xFFFFFFFF
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
START, END, PARENT, ROOT = 1, 2, 4, 8


def compress(chain, words, counter, length, flags):
    s = [*chain, *IV[:4], counter & MASK, counter >> 32, length, flags]

    def mix(a, b, c, d, x, y):
        s[a] = (s[a] + s[b] + x) & MASK
        s[d] ^= s[a]
        s[d] = (s[d] >> 16 | s[d] << 16) & MASK
        s[c] = (s[c] + s[d]) & MASK
        s[b] ^= s[c]
        s[b] = (s[b] >> 12 | s[b] << 20) & MASK
        s[a] = (s[a] + s[b] + y) & MASK
        s[d] ^= s[a]
        s[d] = (s[d] >> 8 | s[d] << 24) & MASK
        s[c] = (s[c] + s[d]) & MASK
        s[b] ^= s[c]
        s[b] = (s[b] >> 7 | s[b] << 25) & MASK

    for turn in range(7):
        for n, (a, b, c, d) in enumerate(((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                                          (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))):
            mix(a, b, c, d, words[2 * n], words[2 * n + 1])
        if turn < 6:
            words = [words[p] for p in PERMUTATION]
    return [s[n] ^ s[n + 8] for n in range(8)] + [s[n + 8] ^ chain[n] for n in range(8)]


def words_of(block):
    return list(struct.unpack("<16I", block.ljust(64, b"\0")))


def blake3(data):
    """The hash that indexes end with; the paper's algorithm, slowly."""
    chunks = [data[at:at + 1024] for at in range(0, len(data), 1024)] or [b""]

    def chunk(number, bytes_, last):
        chain = IV
        blocks = [bytes_[at:at + 64] for at in range(0, len(bytes_), 64)] or [b""]
        for n, block in enumerate(blocks):
            flags = (START if n == 0 else 0) | (END if n + 1 == len(blocks) else 0)
            flags |= ROOT if last and n + 1 == len(blocks) else 0
            out = compress(chain, words_of(block), number, len(block), flags)
            chain = out[:8]
        return chain

    def tree(first, count, last):
        if count == 1:
            return chunk(first, chunks[first], last)
        left = 1 << (count - 1).bit_length() - 1
        both = tree(first, left, False) + tree(first + left, count - left, False)
        return compress(IV, both, 0, 64, PARENT | (ROOT if last else 0))[:8]

    return struct.pack("<8I", *tree(0, len(chunks), True))


def attack(case):
    """an index is used only when this user's own conversion is known to have written it"""
    if blake3(b"").hex()[:16] != "af1349b9f5f9a1a6":
        raise RuntimeError("the hash of this script is wrong")
    programs = ["/bin/sh"]
    images, diff_ids = {}, {}
    for name in ("good", "evil"):
        path = case.archive(name + ".tar", files=[("/bin/tool", f"#!/bin/sh\necho {name}\n", 0o755)], programs=programs)
        images[name] = "docker-archive:" + path
    store = os.path.join(case.home, ".cache/moorline")

    def indexes():
        return set(glob.glob(store + "/layers/*/*"))

    for name in images:
        before = indexes()
        case.call("moorline", "convert", images[name], check=True)
        new = indexes() - before
        if len(new) != 1:
            raise RuntimeError(f"the store looks different: {new}")
        diff_ids[name] = new.pop()
    # the evil layer's index under the good one's name, sealed as it should be
    with open(diff_ids["evil"], "rb") as file:
        content = file.read()[:-32]
    forged = content[:8] + bytes.fromhex(os.path.basename(diff_ids["good"])) + content[40:]
    os.remove(diff_ids["good"])
    with open(diff_ids["good"], "wb") as file:
        file.write(forged + blake3(forged))
    os.chmod(diff_ids["good"], 0o444)
    case.own(diff_ids["good"])
    # and what was converted is forgotten, as `cache prune` or a damaged SIF makes it
    for path in glob.glob(store + "/pins/*/*.json"):
        os.remove(path)
    done = case.call("moorline", "run", "--runtime", "builtin", images["good"], "--", "tool")
    if done.stdout.strip() != "good":
        job = done.stderr.split()[-1]
        verdict = case.call("moorline", "audit", "job", job).stdout.strip()
        return lib.broken(f"the good image ran {done.stdout.strip()!r}: {verdict} {done.stderr}")
    # a right index costs no trust: it is used again
    for path in glob.glob(store + "/pins/*/*.json"):
        os.remove(path)
    done = case.call("moorline", "--json", "convert", images["good"], check=True)
    if '"layers_inflated": 0' not in done.stdout:
        raise RuntimeError(f"an index of this user's own is not used: {done.stdout}{done.stderr}")
    return None


lib.main(attack)
