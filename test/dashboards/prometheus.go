package dashboards

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Prometheus is a server, by its URL: http://localhost:9090.
type Prometheus string

// Await asks the queries again and again until each has found data once, or ctx ends: then
// the error names those that never did. A query that Prometheus does not understand is an
// error at once.
func (p Prometheus) Await(ctx context.Context, queries []Query) error {
	const interval = time.Second
	for {
		var empty []Query
		var last error
		for _, q := range queries {
			found, err := p.finds(ctx, q)
			if _, wrong := errors.AsType[queryError](err); wrong {
				return err
			}
			if err != nil {
				last = err
			}
			if !found {
				empty = append(empty, q)
			}
		}
		if len(empty) == 0 {
			return nil
		}
		queries = empty
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			var names strings.Builder
			for _, q := range empty {
				fmt.Fprintf(&names, "\n%s", q)
			}
			return errors.Join(fmt.Errorf("%w: %d queries found nothing:%s", ctx.Err(), len(empty), names.String()), last)
		}
	}
}

// queryError is the fault of a query.
type queryError struct{ error }

// finds reports whether a query finds at least one value that is a number.
func (p Prometheus) finds(ctx context.Context, q Query) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, string(p)+"/api/v1/query?query="+url.QueryEscape(q.Expr), http.NoBody)
	if err != nil {
		return false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return false, err
	}
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusBadRequest, http.StatusUnprocessableEntity: // it can't be parsed, or not be evaluated
		return false, queryError{fmt.Errorf("%s: %s", q, text)}
	default:
		return false, fmt.Errorf("%s: %s", response.Status, text)
	}
	var answer struct {
		Data struct {
			ResultType string
			Result     []struct{ Value [2]any } // time, and a number as a string
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Data.ResultType != "vector" {
		return false, queryError{fmt.Errorf("%s: not a vector: %s", q, text)}
	}
	for _, sample := range answer.Data.Result {
		if sample.Value[1] != "NaN" {
			return true, nil
		}
	}
	return false, nil
}
