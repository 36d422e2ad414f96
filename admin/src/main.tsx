import { Route, Router } from "@solidjs/router";
import { lazy } from "solid-js";
import { render } from "solid-js/web";
import "./style.css";
import { Account } from "./pages/account";
import { Audit } from "./pages/audit";
import { GroupPage } from "./pages/group";
import { Groups, NewGroup } from "./pages/groups";
import { Missing } from "./pages/missing";
import { PermissionPage } from "./pages/permission";
import { Permissions } from "./pages/permissions";
import { Sessions } from "./pages/sessions";
import { UserPage } from "./pages/user";
import { NewUser } from "./pages/new-user";
import { Users } from "./pages/users";
import { Shell } from "./shell";

// The charts come when they are looked at.
const Overview = lazy(() => import("./pages/overview"));

render(
  () => (
    <Router base="/admin" root={Shell}>
      <Route path="/" component={Overview} />
      <Route path="/users" component={Users} />
      <Route path="/users/new" component={NewUser} />
      <Route path="/users/:id" component={UserPage} />
      <Route path="/groups" component={Groups} />
      <Route path="/groups/new" component={NewGroup} />
      <Route path="/groups/:id" component={GroupPage} />
      <Route path="/permissions" component={Permissions} />
      <Route path="/permissions/:app/:codename" component={PermissionPage} />
      <Route path="/sessions" component={Sessions} />
      <Route path="/audit" component={Audit} />
      <Route path="/account" component={Account} />
      <Route path="*" component={Missing} />
    </Router>
  ),
  document.body,
);
