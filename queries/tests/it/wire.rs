//! A small client of PostgreSQL's protocol, version 3, so that tests can send exactly what drivers send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One message from the server.
#[derive(Debug, Clone)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

/// What a query was answered.
#[derive(Debug, Default)]
pub struct Reply {
    /// Fields of rows; `None` is null.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    /// Names and type numbers of the columns.
    pub columns: Vec<(String, u32)>,
    /// Types of the parameters.
    pub parameters: Vec<u32>,
    /// SQLSTATE, message and position of an error.
    pub error: Option<(String, String, Option<String>)>,
    /// Messages of warnings.
    pub notices: Vec<String>,
    /// Tags of completed commands.
    pub tags: Vec<String>,
    /// Executes that left rows behind.
    pub suspended: usize,
}

impl Reply {
    /// The first field of the first row as text.
    pub fn text(&self) -> String {
        let field = self.rows.first().and_then(|row| row.first().cloned().flatten());
        String::from_utf8(field.unwrap_or_else(|| panic!("no value in {self:?}"))).expect("text")
    }

    pub fn sqlstate(&self) -> &str {
        self.error.as_ref().map_or("", |error| &error.0)
    }
}

pub struct Client {
    stream: TcpStream,
    /// Process id and key, for a cancel request.
    pub key: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        let mut client = Self { stream, key: Vec::new() };
        let mut startup = 196_608_u32.to_be_bytes().to_vec();
        startup.extend_from_slice(b"user\0grafana\0database\0tollgate\0\0");
        client.send_raw(None, &startup).await;
        for message in client.until_ready().await {
            if message.tag == b'K' {
                client.key = message.body;
            }
        }
        client
    }

    /// Asks the server to cancel what the connection with this key runs.
    pub async fn cancel(address: SocketAddr, key: &[u8]) {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let mut request = 16_u32.to_be_bytes().to_vec();
        request.extend(80_877_102_u32.to_be_bytes());
        request.extend_from_slice(key);
        stream.write_all(&request).await.expect("sent");
        let _ended = stream.read(&mut [0; 1]).await;
    }

    /// The simple protocol.
    pub async fn simple(&mut self, sql: &str) -> Reply {
        self.send_raw(Some(b'Q'), &[sql.as_bytes(), b"\0"].concat()).await;
        reply(self.until_ready().await)
    }

    /// The extended protocol: parse, describe, bind with text values, execute, sync.
    pub async fn extended(&mut self, sql: &str, values: &[&str], binary_results: bool) -> Reply {
        self.send_raw(Some(b'P'), &[b"\0", sql.as_bytes(), b"\0\0\0"].concat()).await;
        self.send_raw(Some(b'D'), b"S\0").await;
        let mut bind = b"\0\0\0\0".to_vec();
        bind.extend((values.len() as u16).to_be_bytes());
        for value in values {
            bind.extend((value.len() as u32).to_be_bytes());
            bind.extend_from_slice(value.as_bytes());
        }
        bind.extend(1_u16.to_be_bytes());
        bind.extend(u16::from(binary_results).to_be_bytes());
        self.send_raw(Some(b'B'), &bind).await;
        self.send_raw(Some(b'E'), b"\0\0\0\0\0").await;
        self.send_raw(Some(b'S'), b"").await;
        reply(self.until_ready().await)
    }

    /// Parses a statement under a name.
    pub async fn parse(&mut self, name: &str, sql: &str) {
        self.send_raw(Some(b'P'), &[name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"].concat()).await;
    }

    /// Binds a statement without values to a portal.
    pub async fn bind(&mut self, portal: &str, statement: &str) {
        let body = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0\0\0\0\0\0\0"].concat();
        self.send_raw(Some(b'B'), &body).await;
    }

    /// Asks for rows of a portal.
    pub async fn execute(&mut self, portal: &str, rows: i32) {
        self.send_raw(Some(b'E'), &[portal.as_bytes(), b"\0", &rows.to_be_bytes()].concat()).await;
    }

    /// Closes a portal.
    pub async fn close_portal(&mut self, portal: &str) {
        self.send_raw(Some(b'C'), &[b"P", portal.as_bytes(), b"\0"].concat()).await;
    }

    /// Ends a series of messages, and reads what all of them were answered.
    pub async fn sync(&mut self) -> Reply {
        self.send_raw(Some(b'S'), b"").await;
        reply(self.until_ready().await)
    }

    /// Sends a query of the simple protocol, and leaves its answer unread.
    pub async fn ask(&mut self, sql: &str) {
        self.send_raw(Some(b'Q'), &[sql.as_bytes(), b"\0"].concat()).await;
    }

    /// The next message; `None` at the end of the connection.
    pub async fn message(&mut self) -> Option<Message> {
        let tag = self.stream.read_u8().await.ok()?;
        let length = self.stream.read_u32().await.ok()?;
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(Message { tag, body })
    }

    async fn send_raw(&mut self, tag: Option<u8>, body: &[u8]) {
        let mut message: Vec<u8> = tag.into_iter().collect();
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend_from_slice(body);
        self.stream.write_all(&message).await.expect("sent");
    }

    async fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message = self.message().await.expect("a message");
            let is_last = message.tag == b'Z';
            messages.push(message);
            if is_last {
                return messages;
            }
        }
    }
}

fn reply(messages: Vec<Message>) -> Reply {
    let mut reply = Reply::default();
    for message in messages {
        let body = &message.body;
        match message.tag {
            b'T' => reply.columns = columns(body),
            b't' => reply.parameters = body[2..].chunks_exact(4).map(be_u32).collect(),
            b'D' => reply.rows.push(fields(body)),
            b'C' => reply.tags.push(String::from_utf8_lossy(&body[..body.len() - 1]).into_owned()),
            b's' => reply.suspended += 1,
            b'N' => reply.notices.push(field_of(body, b'M').unwrap_or_default()),
            b'E' => {
                let part = |tag| field_of(body, tag).unwrap_or_default();
                reply.error.get_or_insert((part(b'C'), part(b'M'), field_of(body, b'P')));
            }
            _ => {}
        }
    }
    reply
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

fn columns(body: &[u8]) -> Vec<(String, u32)> {
    let mut rest = &body[2..];
    let mut columns = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        columns.push((name, be_u32(&rest[end + 7..end + 11])));
        rest = &rest[end + 19..];
    }
    columns
}

fn fields(body: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut rest = &body[2..];
    let mut fields = Vec::new();
    while rest.len() >= 4 {
        let length = be_u32(&rest[..4]);
        rest = &rest[4..];
        if length == u32::MAX {
            fields.push(None);
            continue;
        }
        fields.push(Some(rest[..length as usize].to_vec()));
        rest = &rest[length as usize..];
    }
    fields
}

fn field_of(body: &[u8], wanted: u8) -> Option<String> {
    let fields = body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
    fields.into_iter().find(|field| field[0] == wanted).map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
}
