package operations

import (
	"testing"

	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

func TestMain(m *testing.M) { pipeline.Main(m) }
