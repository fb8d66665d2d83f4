package main

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// board is a dashboard: rows of panels.
type board struct {
	uid         string // also the file's name; links go by it, so it never changes
	title       string
	description string
	variables   []variable
	rows        []row
}

type row struct {
	title  string
	panels []panel
}

// variable is one that Grafana fills by a query.
type variable struct {
	name, label string
	query       string
	all         bool // several at once, and all of them by default
}

// standard are every dashboard's; one release a namespace is the usual, and job
// tells releases apart where it is not.
var standard = []variable{
	{name: "namespace", label: "Namespace", query: `label_values(trailpost_build_info, namespace)`},
	{name: "job", label: "Job", query: `label_values(trailpost_build_info{namespace="$namespace"}, job)`, all: true},
}

// The selectors of queries.
const (
	ours   = `namespace="$namespace",job=~"$job"`
	broker = `namespace="$broker_namespace",job=~"$broker"`
)

// on replaces {} and {,more} by a selector of ours, and [] by the range that Grafana
// chooses for rates.
func on(expr string) string {
	return replace(expr, ours)
}

// onBroker is on for RabbitMQ's own metrics.
func onBroker(expr string) string {
	return replace(expr, broker)
}

func replace(expr, selector string) string {
	return strings.NewReplacer("{}", "{"+selector+"}", "{,", "{"+selector+",", "[]", "[$__rate_interval]").Replace(expr)
}

var source = common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}

// build returns the classic form of a dashboard, which every Grafana reads; that of package
// dashboardv2 is for Grafana 12 and later.
//
//nolint:staticcheck // deprecated in favour of the latter
func (b board) build() (dashboard.Dashboard, error) {
	d := dashboard.NewDashboardBuilder(b.title).
		Uid(b.uid).
		Description(b.description).
		Tags([]string{"trailpost"}).
		Readonly().
		Time("now-3h", "now").
		Refresh("30s").
		Timezone("browser").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("Trailpost").Type(dashboard.DashboardLinkTypeDashboards).
			Tags([]string{"trailpost"}).KeepTime(true).IncludeVars(true)).
		Link(dashboard.NewDashboardLinkBuilder("Runbooks").Type(dashboard.DashboardLinkTypeLink).
			Url("https://github.com/trailpost/trailpost/tree/main/docs/runbooks").TargetBlank(true)).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Prometheus").Type("prometheus"))
	for _, v := range b.variables {
		d.WithVariable(v.build())
	}
	id := uint32(1)
	for _, r := range b.rows {
		d.WithRow(dashboard.NewRowBuilder(r.title).Id(id))
		id++
		for _, p := range r.panels {
			d.WithPanel(p.build(id))
			id++
		}
	}
	built, err := d.Build()
	if err != nil {
		return built, err
	}
	// The SDK would have all links in a menu that only the newest Grafana has.
	for i := range built.Links {
		built.Links[i].Placement = nil
	}
	for _, p := range built.Panels {
		if p.Panel == nil {
			continue
		}
		for i := range p.Panel.Links {
			p.Panel.Links[i].Placement = nil
		}
	}
	return built, nil
}

func (v variable) build() cog.Builder[dashboard.VariableModel] {
	q := dashboard.NewQueryVariableBuilder(v.name).
		Label(v.label).
		Datasource(source).
		Query(dashboard.StringOrMap{String: &v.query}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc)
	if v.all {
		q.Multi(true).IncludeAll(true).Current(dashboard.VariableOption{
			Selected: new(true),
			Text:     dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
			Value:    dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
		})
	}
	return q
}
