// Somebody reads timelines and streams, with masto.js as their client.
//
//     node mastodon.mjs PROXY SERVER FOLDER
//
// PROXY is the URL of what is before the server with the URL SERVER; FOLDER has masto in its node_modules. What others do goes to
// the server directly. Prints what it wants done, a word a line (`stop` and `start` the proxy, `end` the server), and waits for a
// line in return; `done` is the last one. Ends with an exit code other than 0 where something is not as it should be.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const [proxy, server, folder] = process.argv.slice(2);
const { createOAuthAPIClient, createRestAPIClient, createStreamingAPIClient, MastoHttpError } =
    createRequire(`${folder}/`)("masto");

const PATIENCE = 60_000;
const SHOWN = "urn:ietf:wg:oauth:2.0:oob";

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has something done by whoever started this. */
async function ask(word) {
    console.log(word);
    assert.equal((await answers.next()).value, "so it is");
}

/** Looks again and again, and does something in between, until there is something. */
async function until(what, look, between = async () => {}) {
    for (const start = Date.now(); Date.now() - start < PATIENCE; await sleep(50)) {
        const found = look();
        if (found) return found;
        await between();
    }
    throw new Error(`in vain: ${what}`);
}

async function section(title, work) {
    console.error(title);
    return await work();
}

const uriOf = (status) => (status.reblog ?? status).uri;
const idsOf = (page) => page.map((status) => status.id);

async function everything(paginator) {
    const all = [];
    for await (const page of paginator) all.push(...page);
    return all;
}

const aron = createRestAPIClient({ url: server, accessToken: "aron-token" });
const mio = createRestAPIClient({ url: server, accessToken: "mio-token" });

const accessToken = await section("logs in through the proxy", async () => {
    const app = await createRestAPIClient({ url: proxy }).v1.apps.create({
        clientName: "test",
        redirectUris: SHOWN,
        scopes: "read write",
    });
    const query = new URLSearchParams({ client_id: app.clientId, redirect_uri: SHOWN, response_type: "code", person: "ida" });
    const shown = await fetch(`${proxy}/oauth/authorize?${query}`);
    const token = await createOAuthAPIClient({ url: proxy }).token.create({
        clientId: app.clientId,
        clientSecret: app.clientSecret,
        redirectUri: SHOWN,
        grantType: "authorization_code",
        code: (await shown.text()).trim(),
    });
    return token.accessToken;
});
const ida = createRestAPIClient({ url: proxy, accessToken });
assert.equal((await ida.v1.accounts.verifyCredentials()).username, "ida");
const home = async () => await ida.v1.timelines.home.list();

const first = await section("pages are without repeats, and stay as they are", async () => {
    const first = await home();
    assert.equal(first.length, 14);
    assert.equal(new Set(first.map(uriOf)).size, first.length);
    assert.deepEqual(await home(), first);
    return first;
});

await section("pagination goes on through the proxy", async () => {
    const raw = await everything(aron.v1.timelines.home.list({ limit: 7 }));
    assert.equal(raw.length, 32);
    const all = await everything(ida.v1.timelines.home.list({ limit: 7 }));
    assert.equal(new Set(all.map(uriOf)).size, all.length);
    assert.deepEqual(new Set(all.map(uriOf)), new Set(raw.map(uriOf)));
    const page = await fetch(`${proxy}/api/v1/timelines/home?limit=7`, { headers: { authorization: `Bearer ${accessToken}` } });
    assert.match(page.headers.get("link"), new RegExp(`^<${proxy}/api/v1/timelines/home\\?limit=7&max_id=126>; rel="next"`));
});

await section("a boost of what was shown is gone", async () => {
    const boost = await aron.v1.statuses.$select("132").reblog();
    assert.ok(idsOf(await aron.v1.timelines.home.list()).includes(boost.id));
    const now = await home();
    assert.ok(!idsOf(now).includes(boost.id));
    assert.deepEqual(now, first.slice(0, now.length).map((status) => {
        return status.id === "132" ? { ...status, reblogsCount: 1 } : status;
    }));
});

await section("errors of the server arrive", async () => {
    const fails = async (promise, statusCode, message) => {
        await assert.rejects(async () => await promise, (error) => {
            assert.ok(error instanceof MastoHttpError, String(error));
            assert.deepEqual([error.statusCode, error.message], [statusCode, message]);
            return true;
        });
    };
    await fails(ida.v1.statuses.$select("1").fetch(), 404, "Record not found");
    await fails(ida.v1.statuses.create({ status: " " }), 422, "Validation failed: Text can't be blank");
    const stranger = createRestAPIClient({ url: proxy, accessToken: "none" });
    await fails(stranger.v1.timelines.home.list(), 401, "The access token is invalid");
});

const streamingApiUrl = (await ida.v2.instance.fetch()).configuration.urls.streaming;
await section("the instance names the proxy for streams", async () => {
    assert.equal(streamingApiUrl, proxy.replace(/^http/, "ws"));
    assert.equal((await ida.v1.instance.fetch()).urls.streamingApi, streamingApiUrl);
});

const streaming = createStreamingAPIClient({ streamingApiUrl, accessToken });
const heard = [];
for (const subscription of [streaming.user.subscribe(), streaming.hashtag.subscribe({ tag: "harbour" })]) {
    (async () => {
        for await (const event of subscription) heard.push(event);
    })().catch((error) => {
        // The last thing that happens is that the connection goes away.
        console.error("a stream ended:", String(error));
    });
}
const isOf = (stream, event, id) => (one) => one.stream[0] === stream && one.event === event && one.payload.id === id;
const hear = (stream, event, id) => until(`${stream} ${event} ${id}`, () => heard.find(isOf(stream, event, id)));
const count = (stream, event, id) => heard.filter(isOf(stream, event, id)).length;

/** Aron talks until a stream brings it. */
async function knock(stream, tag = "") {
    const before = heard.length;
    const isHeard = () => heard.slice(before).some((one) => one.stream[0] === stream && one.event === "update");
    const talk = async () => {
        await aron.v1.statuses.create({ status: `Anybody there? ${tag}` });
        await sleep(250);
    };
    await until(`a first word on ${stream}`, isHeard, talk);
}

/** Whatever happened before is heard, or never will be. */
async function settle() {
    const last = await aron.v1.statuses.create({ status: "That is all." });
    await hear("user", "update", last.id);
}

await section("streams begin", async () => {
    await knock("user");
    await knock("hashtag", "#harbour");
});

await section("what streams brought is no repeat over REST, and its boost is one", async () => {
    const post = await mio.v1.statuses.create({ status: "Gulls. #harbour" });
    await hear("user", "update", post.id);
    await hear("hashtag", "update", post.id);
    const boost = await aron.v1.statuses.$select(post.id).reblog();
    await settle();
    assert.equal(count("user", "update", boost.id), 0);
    const now = await home();
    assert.equal(now.filter((status) => uriOf(status) === post.uri).length, 1);
    assert.ok(idsOf(now).includes(post.id));
});

await section("what REST showed is not repeated by streams", async () => {
    const boost = await mio.v1.statuses.$select("125").reblog();
    const news = await until("a notification", () => heard.find((one) => one.event === "notification"));
    assert.deepEqual([news.payload.type, news.payload.status.id], ["reblog", "125"]);
    await settle();
    assert.equal(count("user", "update", boost.id), 0);
    assert.ok(idsOf(await aron.v1.timelines.home.list()).includes(boost.id));
});

await section("edits and deletes come through", async () => {
    const post = await mio.v1.statuses.create({ status: "Fog." });
    await hear("user", "update", post.id);
    await mio.v1.statuses.$select(post.id).update({ status: "Less fog." });
    const edit = await hear("user", "status.update", post.id);
    assert.equal(edit.payload.content, "<p>Less fog.</p>");
    await mio.v1.statuses.$select(post.id).remove();
    await until("the end of a post", () => heard.find((one) => one.event === "delete" && one.payload === post.id));
    assert.ok(!idsOf(await home()).includes(post.id));
});

await section("what was seen stays seen when the proxy was away", async () => {
    const before = await home();
    await ask("stop");
    await assert.rejects(home());
    const { id } = before.find((status) => status.account.username === "mio");
    const boost = await aron.v1.statuses.$select(id).reblog();
    await ask("start");
    const now = await home();
    assert.deepEqual(idsOf(now), idsOf(before).slice(0, now.length));
    // The client connects again by itself.
    await knock("user");
    const again = await mio.v1.statuses.$select("124").reblog();
    await settle();
    for (const repeat of [boost, again]) {
        assert.equal(count("user", "update", repeat.id), 0);
        assert.ok(!idsOf(await home()).includes(repeat.id));
        assert.ok(idsOf(await aron.v1.timelines.home.list({ limit: 40 })).includes(repeat.id));
    }
});

await section("a server that is gone is an error of the proxy", async () => {
    await ask("end");
    await assert.rejects(home(), (error) => error instanceof MastoHttpError && error.statusCode === 502);
});

streaming.close();
process.stdout.write("done\n", () => process.exit(0));
