#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "procfs/container.h"
#include "procfs/test-support.h"

#define ID  "2227daf62df6694645fee5df53c1f91271546a9560e8600a525690ae252b7f63"
#define ID2 "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d"

/* Paths as they are met, ids apart. */
static const struct {
    const char *path, *name, *runtime;
} inside[] = {
    /* docker: cgroupfs, systemd, --cgroup-parent, in docker, Actions, ECS */
    {"/docker/" ID, ID, "docker"},
    {"/system.slice/docker-" ID ".scope", ID, "docker"},
    {"/system.slice/docker-" ID ".scope/init.scope", ID, "docker"},
    {"/my-parent/" ID, ID, NULL},
    {"/docker/" ID2 "/docker/" ID, ID, "docker"},
    {"/docker/" ID "/system.slice/ssh.service", ID, "docker"},
    {"/docker/" ID " (deleted)", ID, "docker"},
    {"/../../docker/" ID, ID, "docker"},
    {"/actions_job/" ID, ID, NULL},
    {"/ecs/3e9d3c4c-7f1c-4b4c-8c8e-0d8b9a1f2e3d/" ID, ID, NULL},
    {"/ecs/3e9d3c4c7f1c4b4c8c8e0d8b9a1f2e3d/3e9d3c4c7f1c4b4c8c8e0d8b9a1f2e3d-1234567890",
     "3e9d3c4c7f1c4b4c8c8e0d8b9a1f2e3d-1234567890", "ecs"},
    {"/ecstasks.slice/ecstasks-3e9d3c4c.slice/docker-" ID ".scope", ID, "docker"},
    {"/user.slice/user-1000.slice/user@1000.service/app.slice/docker-" ID ".scope", ID, "docker"},
    {"/" ID, ID, NULL},
    /* Kubernetes: both drivers, all classes of service, and runtimes */
    {"/kubepods/burstable/pod941dc160-92df-11e7-b27e-507b9d4141fa/" ID, ID, NULL},
    {"/kubepods/besteffort/pod0e886e9a-3879-45f9-b44d-86ef9df03224/" ID, ID, NULL},
    {"/kubepods/pod5eadac96-58c5-11e8-a7bd-42010a840017/" ID, ID, NULL},
    {"/kubepods/kubepods/besteffort/pod0e886e9a-3879-45f9-b44d-86ef9df03224/" ID, ID, NULL},
    {"/kubepods/burstable/pod941dc160-92df-11e7-b27e-507b9d4141fa/crio-" ID, ID, "cri-o"},
    {"/kubepods.slice/kubepods-burstable.slice/"
     "kubepods-burstable-pod90d81341_92de_11e7_8cf2_507b9d4141fa.slice/docker-" ID ".scope",
     ID, "docker"},
    {"/kubepods.slice/kubepods-pod2fc932ce_fdcc_454b_97bd_aadfdeb4c340.slice/cri-containerd-" ID
     ".scope",
     ID, "containerd"},
    {"/kubepods.slice/kubepods-besteffort.slice/"
     "kubepods-besteffort-pod9f7b1b3a_1f9c_4b52_9d9e_6c7a3a0a1b2c.slice/crio-" ID ".scope",
     ID, "cri-o"},
    {"/kubepods.slice/kubepods-burstable.slice/"
     "kubepods-burstable-podefe83c92_ae76_41c6_b7c2_95fb143e6dd2.slice/crio-" ID ".scope/container",
     ID, "cri-o"},
    {"/kubelet/kubepods/burstable/pod36b6d6be73b1065af369b3985edafa09/" ID, ID, NULL},
    /* kind: a node is itself a container */
    {"/docker/" ID2 "/kubelet/kubepods/burstable/pod941dc160-92df-11e7-b27e-507b9d4141fa/" ID, ID,
     NULL},
    {"/system.slice/docker-" ID2 ".scope/kubelet.slice/kubelet-kubepods.slice/"
     "kubelet-kubepods-pod941dc160_92df_11e7_b27e_507b9d4141fa.slice/cri-containerd-" ID ".scope",
     ID, "containerd"},
    /* the kubelet's driver is systemd, and containerd's is not */
    {"/system.slice/containerd.service/"
     "kubepods-burstable-pod36b6d6be73b1065af369b3985edafa09.slice:cri-containerd:" ID,
     ID, "containerd"},
    {"/system.slice/docker.service/system.slice:docker:" ID, ID, "docker"},
    {"/machine.slice:libpod:" ID, ID, "podman"},
    {"/kubepods-besteffort-pod0e886e9a.slice:crio:" ID, ID, "cri-o"},
    /* containerd without Kubernetes */
    {"/system.slice/nerdctl-" ID ".scope", ID, "containerd"},
    {"/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-" ID ".scope", ID,
     "containerd"},
    {"/default/" ID, ID, NULL},
    {"/k8s.io/" ID, ID, NULL},
    /* podman: both drivers, without root, pods, split groups */
    {"/machine.slice/libpod-" ID ".scope", ID, "podman"},
    {"/machine.slice/libpod-" ID ".scope/container", ID, "podman"},
    {"/libpod_parent/libpod-" ID, ID, "podman"},
    {"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope/container", ID,
     "podman"},
    {"/machine.slice/machine-libpod_pod_" ID2 ".slice/libpod-" ID ".scope/container", ID, "podman"},
    {"/system.slice/app_name.service/libpod-payload-" ID, ID, "podman"},
    {"/srv.slice/container-homeassistant.service/libpod-payload-" ID "/init.scope", ID, "podman"},
    /* LXC, Proxmox, LXD, Incus */
    {"/lxc/web", "web", "lxc"},
    {"/lxc/101/ns/system.slice/postfix.service", "101", "lxc"},
    {"/lxc.payload/web", "web", "lxc"},
    {"/lxc.payload.web", "web", "lxc"},
    {"/lxc.payload.juju-2fc932-0/system.slice/mysql.service", "juju-2fc932-0", "lxc"},
    {"/user.slice/user-1000.slice/session-2.scope/lxc/web/user.slice", "web", "lxc"},
    {"/lxc.payload.web/system.slice/docker-" ID ".scope", ID, "docker"},
    /* systemd */
    {"/machine.slice/systemd-nspawn@web.service", "web", "systemd-nspawn"},
    {"/machine.slice/systemd-nspawn@web.service/payload/system.slice/cron.service", "web",
     "systemd-nspawn"},
    {"/machine.slice/systemd-nspawn@debian\\x2dtest.service/payload", "debian-test",
     "systemd-nspawn"},
    {"/machine.slice/machine-web.scope", "web", "machined"},
    {"/machine.slice/machine-debian\\x2dtest.scope/payload", "debian-test", "machined"},
    {"/machine.slice/machine-lxc\\x2d12345\\x2dweb.scope", "lxc-12345-web", "machined"},
    /* Garden */
    {"/garden/6f265890-5165-7fab-6b52-18d1", "6f265890-5165-7fab-6b52-18d1", "garden"},
    {"/system.slice/garden.service/garden/good/6f265890-5165-7fab-6b52-18d1",
     "6f265890-5165-7fab-6b52-18d1", "garden"},
};

static const char *const outside[] = {
    "/",
    "/..",
    "",
    "/init.scope",
    "/system.slice/docker.service",
    "/system.slice/containerd.service",
    "/user.slice/user-1000.slice/session-2.scope",
    "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-2071.scope",
    "/docker",
    "/docker/buildkit/abcdefghijklmnopqrstuvwxy",
    "/kubepods.slice/kubepods-burstable.slice/"
    "kubepods-burstable-pod90d81341_92de_11e7_8cf2_507b9d4141fa.slice",
    "/kubepods/burstable/pod941dc160-92df-11e7-b27e-507b9d4141fa",
    /* who looks after a container is not in it */
    "/machine.slice/libpod-conmon-" ID ".scope",
    "/system.slice/crio-conmon-" ID ".scope",
    "/kubepods.slice/crio-conmon-" ID ".scope",
    "/system.slice/app_name.service/runtime",
    "/lxc.monitor.web",
    "/lxc.monitor/web",
    "/lxc",
    "/lxc.payload.",
    /* virtual machines */
    "/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/emulator",
    "/machine.slice/machine-.scope",
    "/other.slice/machine-web.scope",
    "/machine.slice/machine-libpod_pod_" ID ".slice",
    /* digits lack, are too many, or are none */
    "/docker/2227daf62df6694645fee5df53c1f91271546a9560e8600a525690ae252b7f6",
    "/docker/" ID "0",
    "/docker/2227DAF62DF6694645FEE5DF53C1F91271546A9560E8600A525690AE252B7F63",
    "/system.slice/docker-abc.scope",
    "/system.slice/docker-" ID,
    "/garden/6f265890-5165-7fab-6b52-18d1aabbccdd",
    "/garden/good",
    "/ecs/3e9d3c4c7f1c4b4c8c8e0d8b9a1f2e3d-",
    "/ecs/3e9d3c4c7f1c4b4c8c8e0d8b9a1f2e3d-12a",
    "/a.slice:docker:abc",
    "/docker:" ID,
};

static void containers_are_named(void **state)
{
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        struct container found;

        if (!container_from_path(inside[i].path, &found))
            fail_msg("%s is not recognised", inside[i].path);
        if (strcmp(found.name, inside[i].name) != 0)
            fail_msg("%s is \"%s\"", inside[i].path, found.name);
        if (!found.runtime != !inside[i].runtime ||
            (found.runtime && strcmp(found.runtime, inside[i].runtime) != 0))
            fail_msg("%s is told to be of %s", inside[i].path, found.runtime);
    }
}

static void nothing_else_is(void **state)
{
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        struct container found = {"x", "x"};

        if (container_from_path(outside[i], &found))
            fail_msg("%s is told to be \"%s\"", outside[i], found.name);
        assert_string_equal(found.name, "");
        assert_null(found.runtime);
    }
}

/* No directory's name is longer than 255 bytes; a path may come from elsewhere. */
static void names_that_are_too_long(void **state)
{
    char path[400] = "/lxc/";
    struct container found;

    memset(path + 5, 'x', 255);
    assert_true(container_from_path(path, &found));
    assert_int_equal(strlen(found.name), 255);
    memset(path + 5, 'x', 256);
    assert_false(container_from_path(path, &found));
}

static void of_a_process(void **state)
{
    struct container found = {"x", "x"};
    struct tree tree;
    struct why why;

    tree_make(&tree);
    tree_file(&tree, "proc/5/status", "State:\tS\nTgid:\t5\n");
    assert_int_equal(container_read(&tree.procfs, 5, &found, &why), 0); /* no cgroups */
    assert_string_equal(found.name, "");
    tree_file(&tree, "proc/5/cgroup", "4:memory:/docker/" ID "\n0::/\n");
    assert_int_equal(container_read(&tree.procfs, 5, &found, &why), 0);
    assert_string_equal(found.name, ID);
    /* only one hierarchy knows, as where the memory controller is off */
    tree_file(&tree, "proc/5/cgroup", "4:memory:/\n1:name=systemd:/lxc/web\n0::/\n");
    assert_int_equal(container_read(&tree.procfs, 5, &found, &why), 0);
    assert_string_equal(found.name, "web");
    tree_file(&tree, "proc/5/cgroup", "0::/user.slice\n");
    assert_int_equal(container_read(&tree.procfs, 5, &found, &why), 0);
    assert_string_equal(found.name, "");
    tree_file(&tree, "proc/5/cgroup", "nonsense\n");
    found.runtime = "kept";
    assert_int_equal(container_read(&tree.procfs, 5, &found, &why), -EBADMSG);
    assert_string_equal(found.runtime, "kept");
    assert_int_equal(container_read(&tree.procfs, 6, &found, &why), -ESRCH);
    tree_remove(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_are_named),
        cmocka_unit_test(nothing_else_is),
        cmocka_unit_test(names_that_are_too_long),
        cmocka_unit_test(of_a_process),
    };

    return cmocka_run_group_tests_name("container", tests, NULL, NULL);
}
