package record

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
)

func TestARecordThatIsTooLargeIsRefusedAndItsBodyCopiedAllTheSame(t *testing.T) {
	archive := directory(t.TempDir())
	body := strings.Repeat("all of it \U0001F980\n", 10_000) + "\xff\x00"
	doc := Document{Exchange: exchange.Exchange{Started: time.Now().UTC(), Developer: "alice@example.com"}}
	doc.Request.SetBytes([]byte(body))
	key := Key(put(t, archive, doc))

	if _, err := LoadWithin(t.Context(), archive, key, 10_000); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a record larger than wanted: %v", err)
	}
	if _, err := LoadWithin(t.Context(), archive, key, 1<<20); err != nil {
		t.Errorf("a record as large as wanted: %v", err)
	}
	var copied bytes.Buffer
	if err := CopyBody(t.Context(), archive, key, SideRequest, &copied); err != nil || copied.String() != body {
		t.Errorf("copied %d of %d bytes: %v", copied.Len(), len(body), err)
	}
}
