package devservers

import "testing"

func TestAdvancedConfigTakesAnyPassword(t *testing.T) {
	got := rabbitAdvanced("a\"é", true)
	want := `[{rabbit, [{default_user, <<"trailpost">>}, {default_pass, <<97,34,195,169>>}, {loopback_users, [<<"trailpost">>]}]}].` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
