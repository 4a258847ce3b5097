// Reads a log in a folder with Go's own implementation of signed notes and Merkle trees, which
// shares no code with ours. Arguments: the folder, the verifier key, tlog-proof files to check.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

type tiles struct{ folder string }

func (t tiles) Height() int                     { return 8 }
func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (t tiles) ReadTiles(all []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range all {
		// The path of this library names the height as well; tlog-tiles fixes it.
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		bytes, err := os.ReadFile(filepath.Join(t.folder, path))
		if err != nil {
			return nil, err
		}
		data = append(data, bytes)
	}
	return data, nil
}

func openCheckpoint(text []byte, verifier note.Verifier) tlog.Tree {
	opened := must(note.Open(text, note.VerifierList(verifier)))
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != verifier.Name() {
		must(0, fmt.Errorf("origin %q", lines[0]))
	}
	return tlog.Tree{N: must(strconv.ParseInt(lines[1], 10, 64)), Hash: must(tlog.ParseHash(lines[2]))}
}

func entries(folder string, size int64) (all [][]byte) {
	for n := int64(0); n*256 < size; n++ {
		tile := tlog.Tile{H: 8, L: 0, N: n, W: 256}
		if rest := size - n*256; rest < 256 {
			tile.W = int(rest)
		}
		path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
		bundle := must(os.ReadFile(filepath.Join(folder, path)))
		for len(bundle) > 0 {
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			all = append(all, bundle[2:end])
			bundle = bundle[end:]
		}
	}
	return all
}

func main() {
	folder := os.Args[1]
	verifier := must(note.NewVerifier(os.Args[2]))
	tree := openCheckpoint(must(os.ReadFile(filepath.Join(folder, "checkpoint"))), verifier)
	reader := tlog.TileHashReader(tree, tiles{folder})
	all := entries(folder, tree.N)
	if int64(len(all)) != tree.N {
		must(0, fmt.Errorf("%d entries, the checkpoint counts %d", len(all), tree.N))
	}
	proofs := 0
	for i, entry := range all {
		proof := must(tlog.ProveRecord(tree.N, int64(i), reader))
		must(0, tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), tlog.RecordHash(entry)))
		proofs++
	}
	for size := int64(1); size <= tree.N; size++ {
		old := must(tlog.TreeHash(size, reader))
		must(0, tlog.CheckTree(must(tlog.ProveTree(tree.N, size, reader)), tree.N, tree.Hash, size, old))
	}
	for _, path := range os.Args[3:] {
		head, checkpoint, _ := strings.Cut(string(must(os.ReadFile(path))), "\n\n")
		under := openCheckpoint([]byte(checkpoint), verifier)
		lines := strings.Split(head, "\n")
		index := must(strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64))
		var proof tlog.RecordProof
		for _, line := range lines[2:] {
			var hash tlog.Hash
			copy(hash[:], must(base64.StdEncoding.DecodeString(line)))
			proof = append(proof, hash)
		}
		must(0, tlog.CheckRecord(proof, under.N, under.Hash, index, tlog.RecordHash(all[index])))
		proofs++
	}
	fmt.Printf("%d entries, %d inclusion proofs, %d trees consistent\n", tree.N, proofs, tree.N)
}
